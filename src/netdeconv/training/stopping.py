"""SIGTERM, which clusters send some seconds before they kill: noted, so that the run can save what it has."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

# What a shell reports of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def noted_termination() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM instead of ending at once, for as long as the context lasts.

    Yields:
        Whether it has come. In a thread that is not the main one signals cannot be caught, and it never has.

    Raises:
        SystemExit: at the end, with the code of SIGTERM, when it came and nobody acted on it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    owner = os.getpid()

    def note(number: int, frame: object) -> None:
        del frame
        if os.getpid() != owner:  # a child that was forked has nothing to save
            os._exit(TERMINATED)
        received.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
    if received:
        raise SystemExit(TERMINATED)
