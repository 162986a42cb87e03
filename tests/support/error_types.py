"""The error classes of the program."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import fastapi_ignite
from fastapi_ignite.core.errors import IgniteError


@cache
def error_types() -> list[type[IgniteError]]:
    """Return all error classes of the program. Import every module first, because an unloaded class is not found."""
    for module in walk_packages(fastapi_ignite.__path__, "fastapi_ignite."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found = [IgniteError]
    for error in found:
        found += [derived for derived in error.__subclasses__() if derived.__module__.startswith("fastapi_ignite.")]
    return found
