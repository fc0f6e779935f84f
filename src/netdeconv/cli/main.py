"""Choosing the command, and turning errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence

from netdeconv.lookup import look_up

# What each command is for; its module has its name, with _ for -. Modules are imported when called: `netdeconv --help`
# need not wait for what trains.
COMMANDS: dict[str, str] = {
    "compare": "one network with several normalisations: table, plot, run directory",
    "train": "train one network, with batch norm or with network deconvolution",
    "imagenet": "train or evaluate a network of torchvision on ImageNet, or on folders laid out like it",
    "segment": "train a segmentation network, with batch norm or with network deconvolution",
    "evaluate": "measure a finished run's network again, without training it",
    "predict": "say which classes a trained network sees in images; segmentation colours their pixels",
    "export": "write a finished run's network, folded, as ONNX, int8 ONNX, torch.export, safetensors, AOTInductor",
    "reproduce": "a published experiment, or rows of it, beside the expected numbers",
    "sweep": "search learning rate and weight decay on images cut from the training set",
    "visualize": "draw what whitening does in a run's network",
    "report": "write one page about runs: curves, settings, health, mistakes, figures",
    "watch": "show a run in the terminal while it trains, or afterwards",
    "list": "list archs, datasets, models or experiments",
}
_MODULES = {"list": "listing"}

INTERRUPTED = 130


def usage() -> str:
    """Return what ``netdeconv --help`` says."""
    lines = "\n".join(f"  {name:10} {purpose}" for name, purpose in COMMANDS.items())
    return (
        "usage: netdeconv COMMAND [options]\n\n"
        f"commands:\n{lines}\n\n"
        "`netdeconv COMMAND --help` lists the command's options; `netdeconv --version` says which this is."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what was typed after ``netdeconv``; ``None`` for the process's own.

    Returns:
        0: done; 1: the run failed; 2: the arguments make no sense; 130: stopped with Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without these letters must not end a run
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt as stop:
        return _refuse(str(stop) or "stopped", INTERRUPTED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "netdeconv":
            raise
        message = f"the training program needs {package}, which is not installed: pip install 'netdeconv[train]'"
        return _refuse(message, 1)
    except ValueError as error:
        return _refuse(str(error) or type(error).__name__, 2)
    except (OSError, FloatingPointError, RuntimeError) as error:
        return _refuse(str(error) or type(error).__name__, 1)


def _run(typed: Sequence[str]) -> int:
    if not typed or typed[0] in ("-h", "--help"):
        print(usage())
        return 0 if typed else 2
    if typed[0] == "--version":
        from netdeconv import __version__

        print(f"netdeconv {__version__}")
        return 0
    with _short_warnings():
        name = look_up("command", typed[0], dict.fromkeys(COMMANDS, typed[0]))
        return int(importlib.import_module(f"netdeconv.cli.{_MODULES.get(name, name)}").main(typed[1:]))


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show a warning as one line, without the place in the program that no user knows."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"netdeconv: {' '.join(str(message).split())}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _refuse(message: str, code: int) -> int:
    print(f"netdeconv: {' '.join(message.split())}", file=sys.stderr)
    return code
