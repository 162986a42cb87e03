"""These programs do what some of our routes do, with less around it, so that both can be measured in one run.

Each module but one is a small FastAPI application without authentication, limits, logging or middleware.
`bench/request_rates.py` runs each in a process of its own, with the server, the event loop and the parser of ours.
`DATABASE` and `REDIS` are the variables with the addresses of the servers, and `REDIS_KEY` is where an item is stored
as JSON.

`search.py` is the SQL of a search and the embedding of its question alone, which `bench/search.py` runs.
"""

from __future__ import annotations

DATABASE = "REFERENCE_DATABASE_URL"
REDIS = "REFERENCE_REDIS_URL"
REDIS_KEY = "reference:item:{}"
