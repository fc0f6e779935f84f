"""Processes that are forked after all imports, so that a moment takes less than a second."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a process ended: its code, negative for a signal, what it raised, and the seconds that it computed."""

    code: int
    message: str
    seconds: float


class Child:
    """Runs an action in a process of its own; what it prints is lost."""

    def __init__(self, action: Callable[[], object], environment: Mapping[str, str] | None = None) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        code, message = 1, ""
        try:
            os.environ.update(environment or {})
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            action()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        finally:
            with contextlib.suppress(OSError):
                os.write(write, message.encode()[:60_000])
            os._exit(code)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def computed(self, seconds: float) -> None:
        """Wait until the process has computed for so many seconds, or has ended: however busy the machine is."""
        ticks = os.sysconf("SC_CLK_TCK")
        while True:
            state, *numbers = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            if state == "Z" or (int(numbers[10]) + int(numbers[11])) / ticks >= seconds:
                return
            time.sleep(0.002)

    def wait(self, seconds: float = 600) -> Ended:
        """Wait for the end.

        Raises:
            TimeoutError: when it does not come; the process is killed.
        """
        deadline = time.monotonic() + seconds
        while True:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self._read)
                raise TimeoutError(f"a process did not end within {seconds:.0f} s")
            time.sleep(0.005)
        with os.fdopen(self._read, "rb") as pipe:
            message = pipe.read().decode(errors="replace")
        return Ended(os.waitstatus_to_exitcode(status), message, used.ru_utime + used.ru_stime)
