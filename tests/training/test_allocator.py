"""Memory is kept while a run lasts, and given back after it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from netdeconv.training import allocator

BYTES, COUNT = 2**26, 4

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator")

# Pages that the system has to supply for buffers, one after the other, behind one that is not counted. The C library's
# own, not tensors: those are aligned, and small ones may take the space that is left beside them.
COUNTED = """
import contextlib, ctypes, resource, runpy, sys

path, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p

def faults():
    for number in range(1 + count):
        if number == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        buffer = ctypes.c_void_p(library.malloc(ctypes.c_size_t(size)))
        library.memset(buffer, 1, ctypes.c_size_t(size))
        library.free(buffer)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with runpy.run_path(path)["kept_memory"]():
    inside = faults()
print(inside, faults())
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)


@needs_glibc
def test_buffers_are_used_again():
    # a process of its own: what other tests left may lie free in memory, and serve the buffers
    command = [sys.executable, "-c", COUNTED, str(allocator.__file__), str(BYTES), str(COUNT)]
    counted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside, outside = map(int, counted.split())
    assert inside < BYTES // 2**21
    assert outside >= COUNT * BYTES // 2**21  # at least one for each page of the largest size


@needs_glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_setting_of_the_user_wins(monkeypatch, name):
    monkeypatch.setenv(name, "")
    with allocator.kept_memory() as kept:
        assert not kept


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with allocator.kept_memory() as kept:
        assert not kept
