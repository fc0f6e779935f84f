"""Memory that the C library keeps for the next step instead of returning it to the system after each one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator

# Settings of mallopt, from the C library's malloc.h.
_TRIM_THRESHOLD, _MAPPING_THRESHOLD, _MAPPINGS = -1, -3, -4
_KEEP = {_TRIM_THRESHOLD: -1, _MAPPINGS: 0}  # never shrink, never map a single buffer
# Setting one of them ends the library's own adaptation; these are the values that it reaches with large buffers.
_ADAPTED = {_TRIM_THRESHOLD: 2**26, _MAPPING_THRESHOLD: 2**25, _MAPPINGS: 2**16}


@contextlib.contextmanager
def kept_memory() -> Iterator[bool]:
    """Keep freed memory in the process for as long as the context lasts, then return it.

    A training step on a processor asks for the same large buffers as the one before. Left alone, the C library maps
    them afresh, and the system clears every page before its first use: a tenth of a step or more.

    Yields:
        Whether it does so: with the C library of GNU, unless the environment already sets its allocator
        (``MALLOC_...``, ``GLIBC_TUNABLES``). Elsewhere nothing is changed.

    Source:
        mallopt(3), ``M_TRIM_THRESHOLD`` and ``M_MMAP_MAX``. Measured by ``python -m benchmarks.allocator``.
    """
    library = _library()
    if library is None:
        yield False
        return
    for setting, value in _KEEP.items():
        library.mallopt(setting, value)
    try:
        yield True
    finally:
        for setting, value in _ADAPTED.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)


def _library() -> ctypes.CDLL | None:
    """The C library, where it is GNU's and nobody else has set its allocator."""
    if platform.libc_ver()[0] != "glibc":
        return None
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return None
    return ctypes.CDLL(None)
