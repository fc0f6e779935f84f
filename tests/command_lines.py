"""Lines of the command line, for its tests: what is refused, and small runs."""

from __future__ import annotations

import shlex
from typing import Any

from netdeconv.cli import main

SMALL = (
    "--dataset digits --arch mlp --width 0.25 --epochs 2 --threads 1 --lr 0.02 --batch-size 256 --msg False "
    "--loggers csv"
)


def refused(line: str, capsys: Any) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = main(shlex.split(line))
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("netdeconv: ")
    assert "Traceback" not in captured.err
    return code, captured.err
