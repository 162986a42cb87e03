"""`uvicorn main:app`. The program is in src/fastapi_ignite."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from fastapi_ignite.main import create_app

app = create_app()
