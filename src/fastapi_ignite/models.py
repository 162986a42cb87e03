"""Import the models of every feature, so that Alembic sees all tables. A new `models.py` is found by its name."""

from importlib import import_module
from pathlib import Path

from fastapi_ignite.infra import periodic_runs
from fastapi_ignite.infra.db import Base

__all__ = ["metadata", "periodic_runs"]

_PACKAGE = Path(__file__).parent
for _path in sorted(_PACKAGE.glob("*/**/models.py")):
    import_module(".".join([__package__ or "", *_path.relative_to(_PACKAGE).with_suffix("").parts]))

metadata = Base.metadata
