from __future__ import annotations

from query.conftest import project  # noqa: F401  a fixture
from support.both_engines import *  # noqa: F403  fixtures: every suite here runs on both engines
