"""The command line: parse, build, call."""

from __future__ import annotations

from netdeconv.cli.main import main

__all__ = ["main"]
