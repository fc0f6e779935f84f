"""Processes that are forked after all imports: a test that needs one waits milliseconds, not seconds.

Tests ask a ``Server`` for theirs. It is itself forked when all tests are collected, and so imported, and none has run:
what torch computes with starts threads, and a process that has threads must not fork. An action that runs in such a
process may fork a ``Child`` for each process that it needs.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch


class Ended(NamedTuple):
    """How a process ended: its code, negative for a signal, what it raised, and the seconds that it computed."""

    code: int
    message: str
    seconds: float


class Done(NamedTuple):
    """The same of a process that a test asked for: its code, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class Server:
    """Forks what tests ask for, one after the other."""

    def __init__(self) -> None:
        self._pipe, other = multiprocessing.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of xdist's own thread, which does nothing that is locked
            self.pid = os.fork()
        if self.pid == 0:
            self._pipe.close()
            _serve(other)
        other.close()

    def run(self, action: Callable[..., object], *arguments: Any, cwd: Path | None = None, **environment: str) -> Done:
        """Run an action in a process of its own and wait for its end.

        Args:
            action: importable, or of a test module; what it returns is the exit code, unless it is not a number.
            arguments: for the action, as pickled.
            cwd: the directory to run in.
            environment: variables to set.
        """
        self._pipe.send((action, arguments, cwd, environment))
        return self._pipe.recv()


def _serve(pipe: Connection) -> None:
    gc.freeze()  # or a collection in a child would copy what was imported
    warnings.resetwarnings()  # of pytest, to whom they are errors
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            action, arguments, cwd, environment = pipe.recv()
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                act = functools.partial(_alone, action, arguments, cwd)
                ended = Child(act, {"OMP_NUM_THREADS": "1", **environment}, out, err).wait()
                said = []
                for file in (out, err):
                    file.seek(0)
                    said.append(file.read().decode(errors="replace"))
                pipe.send(Done(ended.code, said[0], said[1]))
    os._exit(0)


def _alone(action: Callable[..., object], arguments: tuple[Any, ...], cwd: Path | None) -> object:
    torch.set_num_threads(1)
    if cwd is not None:
        os.chdir(cwd)
    return action(*arguments)


class Child:
    """Runs an action in a process of its own; what it prints is lost, unless there are files for it."""

    def __init__(
        self,
        action: Callable[[], object],
        environment: Mapping[str, str] | None = None,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
    ) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        code, message = 1, ""
        try:
            os.environ.update(environment or {})
            silence = os.open(os.devnull, os.O_RDWR)
            for number, file in enumerate((None, out, err)):
                os.dup2(silence if file is None else file.fileno(), number)
            sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w"), write_through=True) for n in (1, 2))
            found = action()
            code = found if isinstance(found, int) else 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
            traceback.print_exc()
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
