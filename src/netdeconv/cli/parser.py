"""From typed settings to a command line, through tyro; errors name the nearest thing that exists."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

from netdeconv.lookup import UnknownNameError, unknown_name

T = TypeVar("T")
_TRUTH = {"true": "True", "yes": "True", "1": "True", "false": "False", "no": "False", "0": "False"}
_HELP = ("-h", "--help")


class UsageError(ValueError):
    """What a person typed makes no sense; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """One option.

    Args:
        names: the option's name, then its aliases.
        place: the setting that it sets, parts joined with dots.
        default: of the setting.
        boolean: whether its values are True and False.
    """

    names: tuple[str, ...]
    place: str
    default: Any
    boolean: bool


def parse(
    options: type[T],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str | None = None,
    default: T | None = None,
) -> T:
    """Return the settings that were typed.

    A command is a frozen dataclass of settings, and ``main``, which gets them from here::

        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Options:
            '''Draw a run.

            Args:
                run: run directory.
                output: file to write.
                device: where to compute.
                grid: whether lines are drawn behind the curves.
            '''

            run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
            output: Annotated[str, tyro.conf.arg(aliases=("-o",))] = "curves.png"
            device: DeviceName = "auto"  # a Literal: its values are the choices
            grid: bool = True  # --grid, --no-grid, --grid False

        def main(arguments: Sequence[str]) -> int:
            options = parse(Options, arguments, prog="netdeconv draw")

    A field's name is the option's (``batch_size``: ``--batch-size``), its line under Args the help. A field that is a
    dataclass itself gives its fields as options of this command, in a group of the help; no prefix. ``main`` raises a
    ValueError, OSError or RuntimeError for what cannot be done: it is printed as one line.

    Args:
        options: the dataclass.
        arguments: what was typed after the command.
        prog: the command, for the help.
        description: first lines of the help; ``None``: the first of the docstring.
        default: settings where nothing was typed; ``None``: the dataclass's own.

    Raises:
        UsageError: when an option is unknown, with the nearest one, or a value is wrong.
        ValueError: what the dataclass itself raises.
        SystemExit: after ``--help``.
    """
    known = flags(options)
    typed = list(_spelled_out(arguments, known))
    caught = io.StringIO()
    asked = default if default is not None else tyro.MISSING_NONPROP
    try:
        with contextlib.redirect_stderr(caught):
            return tyro.cli(
                options,
                args=typed,
                prog=prog,
                description=description,
                default=asked,
                config=(tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise UsageError(_one_line(caught.getvalue())) from None


def flags(options: Any, place: str = "") -> list[Flag]:
    """Return the options of a dataclass, or of an instance, whose values are then the defaults."""
    found: list[Flag] = []
    cls = options if isinstance(options, type) else type(options)
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        hint, marks = hints[field.name], list[Any]()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        if any(mark in (tyro.conf.Suppress, tyro.conf.Positional) for mark in marks):
            continue
        default = _default(field) if cls is options else getattr(options, field.name)
        where = f"{place}.{field.name}" if place else field.name
        if dataclasses.is_dataclass(hint):
            found += flags(hint if default is dataclasses.MISSING else default, where)
            continue
        name, aliases = field.name, tuple[str, ...]()
        for mark in marks:
            name, aliases = getattr(mark, "name", None) or name, getattr(mark, "aliases", None) or aliases
        boolean = hint is bool or (isinstance(hint, types.UnionType) and bool in typing.get_args(hint))
        names = (f"--{name.replace('_', '-')}", *aliases)
        found.append(Flag(names=names, place=where, default=default, boolean=boolean))
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _spelled_out(arguments: Sequence[str], known: Sequence[Flag]) -> Iterator[str]:
    """The arguments with a value after every boolean option: ``--x`` is ``--x True``, ``--no-x`` is ``--x False``.

    Raises:
        UsageError: when an option is unknown.
    """
    by_name = {name: flag for flag in known for name in flag.names}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
        if not re.match(r"--?[A-Za-z]", name) or name in _HELP or name.lower() in ("-inf", "-nan"):
            yield word
            continue
        denied = by_name.get(f"--{name.removeprefix('--no-')}") if name not in by_name else None
        flag = denied if denied and denied.boolean else by_name.get(name)
        if flag is None:
            raise UsageError(str(unknown_option(name, list(by_name))))
        if flag.boolean:
            if not equals and waiting and waiting[0].lower() in _TRUTH:
                value = waiting.pop(0)
            truth = _TRUTH.get(value.lower(), "" if value else "True")
            if not truth or (denied and (equals or value)):
                raise UsageError(f"{name} needs True or False, got {value!r}")
            value = "False" if denied else truth
        yield flag.names[0]
        if flag.boolean or equals:
            yield value


def unknown_option(text: str, names: Sequence[str]) -> UnknownNameError:
    """Return the error for an argument that is none of the options; a long list of them helps nobody."""
    error = unknown_name("option", text, [name for name in names if len(name) > 2])
    return UnknownNameError(str(error).partition(" (known")[0] + " (--help lists all)")


def _one_line(box: str) -> str:
    """What tyro says in a box, without the box, its title and the help that it repeats."""
    lines = [line.strip(" │") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    rule = next((number for number, line in enumerate(lines) if line.startswith("──")), len(lines))
    return re.sub(r"\[/?bold\]", "", " ".join(" ".join(lines[:rule]).split()))
