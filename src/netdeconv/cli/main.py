"""Choosing the command, and turning errors into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from netdeconv.lookup import look_up

USAGE = """usage: netdeconv COMMAND [options]

commands:
  compare   one network with several normalisations: table, plot, run directory
  train     train one network, with batch norm or with network deconvolution
  reproduce a published experiment, or rows of it, beside the expected numbers
  list      list archs, datasets or recipes

`netdeconv COMMAND --help` lists the command's options."""

INTERRUPTED = 130


def _train(arguments: Sequence[str]) -> int:
    from netdeconv.cli import train

    return train.main(arguments)


def _compare(arguments: Sequence[str]) -> int:
    from netdeconv.cli import compare

    return compare.main(arguments)


def _reproduce(arguments: Sequence[str]) -> int:
    from netdeconv.cli import reproduce

    return reproduce.main(arguments)


def _list(arguments: Sequence[str]) -> int:
    from netdeconv.cli import listing

    return listing.main(arguments)


# Imported when called: `netdeconv --help` need not wait for what trains.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "compare": _compare,
    "reproduce": _reproduce,
    "list": _list,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what was typed after ``netdeconv``; ``None`` for the process's own.

    Returns:
        0: done; 1: the run failed; 2: the arguments make no sense; 130: stopped with Ctrl-C.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if not typed or typed[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if typed else 2
    try:
        return look_up("command", typed[0], COMMANDS)(typed[1:])
    except KeyboardInterrupt as stop:
        return _refuse(stop, INTERRUPTED)
    except ValueError as error:
        return _refuse(error, 2)
    except (OSError, FloatingPointError, RuntimeError) as error:
        return _refuse(error, 1)


def _refuse(error: BaseException, code: int) -> int:
    print(f"netdeconv: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    return code
