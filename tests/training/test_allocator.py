"""Memory is kept while a run lasts, and given back after it."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from netdeconv.training.allocator import kept_memory
from netdeconv.training.precision import process_settings

BYTES, COUNT = 2**26, 4

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator")


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)


def faults() -> int:
    """Pages that the system had to supply for buffers, one after the other, behind one that is not counted.

    The C library's own, not tensors: those are aligned, and small ones may take the space that is left beside them.
    """
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    before = 0
    for number in range(1 + COUNT):
        if number == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        buffer = ctypes.c_void_p(library.malloc(ctypes.c_size_t(BYTES)))
        library.memset(buffer, 1, ctypes.c_size_t(BYTES))
        library.free(buffer)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def faults_inside_and_outside() -> tuple[int, int]:
    with process_settings(None):
        inside = faults()
    return inside, faults()


@needs_glibc
def test_buffers_are_used_again():
    # a process of its own: what other tests left may lie free in memory, and serve the buffers
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        inside, outside = processes.submit(faults_inside_and_outside).result(timeout=120)
    assert inside < BYTES // 2**21
    assert outside >= COUNT * BYTES // 2**21  # at least one for each page of the largest size


@needs_glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_setting_of_the_user_wins(monkeypatch, name):
    monkeypatch.setenv(name, "")
    with kept_memory() as kept:
        assert not kept


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with kept_memory() as kept:
        assert not kept
