"""A parser whose errors name the nearest thing that exists, and that knows which options were given."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from netdeconv.cli.parser import UsageError as UsageError
from netdeconv.cli.parser import unknown_option

_NOT_GIVEN = object()


def true_or_false(text: str) -> bool:
    """Return the truth value of the original keywords' ``True`` and ``False``."""
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return values[text.lower()]


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: its default and its line of help; further argparse settings in ``extra``."""

    default: Any
    help: str
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def switch(help_text: str) -> Option:
    """Return an option without a value, off unless given."""
    return Option(False, help_text, {"action": "store_true"})


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` instead of leaving the program."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise UsageError(message)

    def add_options(self, options: Mapping[str, Option]) -> None:
        """Add options from a table; a key may hold several flags, ``"-a --arch"``."""
        for flags, option in options.items():
            extra = dict(option.extra)
            if "action" not in extra and "type" not in extra:
                extra["type"] = true_or_false if isinstance(option.default, bool) else type(option.default)
            self.add_argument(*flags.split(), default=option.default, help=option.help, **extra)

    def parse(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
        """Return the values of all options, and the names of those that were given.

        Raises:
            UsageError: when an option is unknown, with the nearest one, or a value is wrong.
        """
        actions = [action for action in self._actions if action.dest != "help"]
        probe = argparse.Namespace(**{action.dest: _NOT_GIVEN for action in actions})
        # Intermixed: an argument without a flag may stand between options, or be absent.
        values, unknown = self.parse_known_intermixed_args(list(arguments), probe)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings if len(flag) > 2]
            raise UsageError(str(unknown_option(unknown[0], flags)))
        given = {action.dest for action in actions if getattr(values, action.dest) not in (_NOT_GIVEN, None)}
        for action in actions:
            if action.dest not in given:
                setattr(values, action.dest, action.default)
        return values, given


class _Formatter(argparse.HelpFormatter):
    """Shows every default that says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if not action.option_strings or (action.default in (None, False, argparse.SUPPRESS) and action.nargs == 0):
            return action.help or ""
        return f"{action.help} (default: {'%(default)s' if action.default is not None else 'none'})"
