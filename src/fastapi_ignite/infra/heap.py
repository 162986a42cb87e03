"""The allocator of the C library, where it can be told how much of what is free it may keep.

Python's own objects are not its business: it serves numpy, the model, parsers in C, and every object above 512 bytes.
"""

from __future__ import annotations

import ctypes
import os

# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

MAX_HEAPS = 2
# A larger block goes back to the system when it is freed: a document's text, not the buffers of a request.
LARGE_BLOCK_BYTES = 2**20
MAX_FREE_BYTES = 4 * 2**20
# whoever sets one of these has made up their mind
_CHOSEN_BY_OPERATOR = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")


def limit_heap() -> None:
    """Bound what the allocator keeps for itself; call it first in a process that lives long.

    By default glibc makes eight heaps a processor, one for each thread that allocates, and gives nothing of what was
    freed in the middle of them back; after one large free it also keeps all blocks up to that size, 32 MB at most.
    Other C libraries have no such settings and are left alone.
    """
    mallopt = _function("mallopt")
    if mallopt is None or any(name in os.environ for name in _CHOSEN_BY_OPERATOR):
        return
    mallopt(_M_ARENA_MAX, MAX_HEAPS)
    mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, MAX_FREE_BYTES)


def release_free_memory() -> None:
    """Give the pages that hold nothing back to the system. Takes milliseconds: for after something large."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> ctypes._NamedFuncPointer | None:
    """Nothing on macOS, and in musl."""
    return getattr(ctypes.CDLL(None), name, None)
