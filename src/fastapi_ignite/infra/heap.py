"""Limit how much free memory the C library's allocator (malloc) keeps.

Python itself allocates objects up to 512 bytes. malloc serves larger ones, numpy, the model and parsers written in C.
"""

from __future__ import annotations

import ctypes
import os

# constants of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

MAX_HEAPS = 2
# Larger blocks return to the system when they are freed. A document's text is larger, a request's buffers are not.
LARGE_BLOCK_BYTES = 2**20
MAX_FREE_BYTES = 4 * 2**20
# with one of these variables the operator has chosen an allocator or its settings
_CHOSEN_BY_OPERATOR = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")


def limit_heap() -> None:
    """Limit the free memory that malloc keeps. Call this at the start of a long-running process.

    By default glibc creates up to eight heaps for each CPU, and does not return memory that was freed in the middle of
    a heap. After one large block was freed, it also keeps later blocks of up to that size, at most 32 MB. Other C
    libraries have no such settings, so nothing happens there.
    """
    mallopt = _function("mallopt")
    if mallopt is None or any(name in os.environ for name in _CHOSEN_BY_OPERATOR):
        return
    mallopt(_M_ARENA_MAX, MAX_HEAPS)
    mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, MAX_FREE_BYTES)


def release_free_memory() -> None:
    """Return free pages to the system. It takes milliseconds, so call it only after a large piece of work."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> ctypes._NamedFuncPointer | None:
    """Return the function of the C library, or None on macOS and with musl."""
    return getattr(ctypes.CDLL(None), name, None)
