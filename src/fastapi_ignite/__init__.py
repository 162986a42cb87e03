"""A multi-tenant FastAPI backend for AI products.

A checkout is run without an install step. Whoever finds this package therefore also finds the packages beside the
product (`packages/*/src`): the import of this module adds their folders to the end of `sys.path`. An installed product
has no such folders, and finds the packages where pip put them.
"""

import sys
from pathlib import Path

__version__ = "0.1.0"

SOURCE = Path(__file__).resolve().parents[1]
SOURCE_FOLDERS = (SOURCE, *sorted(SOURCE.parent.glob("packages/*/src")))

sys.path.extend(folder for folder in map(str, SOURCE_FOLDERS) if folder not in sys.path)
