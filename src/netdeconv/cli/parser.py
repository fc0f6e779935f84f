"""From typed settings to a command line, through tyro; errors name the nearest thing that exists."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import docstring_parser
import tyro

from netdeconv.lookup import unknown_name

T = TypeVar("T")
_TRUTH = {"true": "True", "yes": "True", "1": "True", "false": "False", "no": "False", "0": "False"}
_HELP = ("-h", "--help")


class UsageError(ValueError):
    """What a person typed makes no sense; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """One option.

    Args:
        names: the option's name, then its aliases; none: it is given by its place on the line.
        place: the setting that it sets, parts joined with dots.
        default: of the setting.
        boolean: whether its values are True and False.
        choices: its values, where they are few and known; empty: they are not.
        help: what the docstring says of it.
    """

    names: tuple[str, ...]
    place: str
    default: Any
    boolean: bool = False
    choices: tuple[str, ...] = ()
    help: str = dataclasses.field(default="", repr=False, compare=False)


class Typed(NamedTuple):
    """An option with what follows it; no option: words before the first."""

    flag: Flag | None
    words: list[str]


def parse(
    options: type[T], arguments: Sequence[str], *, prog: str, default: T | None = None, usual: Sequence[str] = ()
) -> T:
    """Return the settings that were typed.

    A command is a frozen dataclass of settings and ``main``, which gets them from here: see :mod:`netdeconv.cli.watch`.

    A field's name is the option's (``batch_size``: ``--batch-size``), its line under Args the help. A field that is a
    dataclass itself gives its fields as options of this command, in a group of the help; no prefix. ``main`` raises a
    ValueError, OSError or RuntimeError for what cannot be done: it is printed as one line.

    Args:
        options: the dataclass.
        arguments: what was typed after the command.
        prog: the command, for the help.
        default: settings where nothing was typed; ``None``: the dataclass's own.
        usual: options that most people want, named first in the help.

    Raises:
        UsageError: when an option is unknown, with the nearest one, or a value is wrong.
        ValueError: what the dataclass itself raises.
        SystemExit: after ``--help``.
    """
    known = flags(options if default is None else default)
    words = [word for each in typed(arguments, known) for word in each.words]
    caught, told = io.StringIO(), io.StringIO()
    told_to = contextlib.redirect_stdout(told) if {*_HELP} & {*arguments} else contextlib.nullcontext()
    try:
        with contextlib.redirect_stderr(caught), told_to:
            return tyro.cli(
                options,
                args=words,
                prog=prog,
                description=_description(options, known, usual),
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
            )
    except SystemExit as end:
        if not end.code:
            _print_help(told.getvalue())
            raise
        raise UsageError(_one_line(caught.getvalue())) from None


def flags(options: Any, place: str = "") -> list[Flag]:
    """Return the options of a dataclass, or of an instance, whose values are then the defaults."""
    found: list[Flag] = []
    cls = options if isinstance(options, type) else type(options)
    hints = typing.get_type_hints(cls, include_extras=True)
    parsed = [docstring_parser.parse(base.__doc__ or "").params for base in reversed(cls.__mro__[:-1])]
    helps = {param.arg_name: " ".join((param.description or "").split()) for params in parsed for param in params}
    for field in dataclasses.fields(cls):
        hint, marks = hints[field.name], list[Any]()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        if tyro.conf.Suppress in marks:
            continue
        default = getattr(options, field.name, dataclasses.MISSING)
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        where = f"{place}.{field.name}" if place else field.name
        if dataclasses.is_dataclass(default):
            found += flags(default, where)
            continue
        name, aliases = field.name, tuple[str, ...]()
        for mark in marks:
            name, aliases = getattr(mark, "name", None) or name, getattr(mark, "aliases", None) or aliases
        names = () if tyro.conf.Positional in marks else (f"--{name.replace('_', '-')}", *aliases)
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        of = [each for kind in kinds for each in (kind, *typing.get_args(kind)[:1])]  # also tuple[Literal[...], ...]
        literals = [each for each in of if typing.get_origin(each) is typing.Literal]
        found.append(
            Flag(
                names=names,
                place=where,
                default=default,
                boolean=bool in kinds and {*kinds} <= {bool, type(None)},
                choices=tuple(map(str, typing.get_args(literals[0]))) if literals else (),
                help=helps.get(field.name, ""),
            )
        )
    return found


def _description(options: type, known: Sequence[Flag], usual: Sequence[str]) -> str:
    """The first lines of the help: what the command does, and the options that most people want."""
    text = docstring_parser.parse(options.__doc__ or "").short_description or ""
    by_name = {flag.names[0]: flag for flag in known if flag.names}
    lines = []
    for flag in (by_name[name] for name in usual):
        said = _without_markup(re.split(r"[;:] |\. |\.$", flag.help)[0])
        lines.append(f"  {', '.join(flag.names):30} {said} ({flag.default})")
    return "\n".join([text, "", "Mostly used:", *lines]) if lines else text


def _without_markup(text: str) -> str:
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", text).replace("``", "")


def _print_help(text: str) -> None:
    """Print tyro's help without the markup of docstrings, groups called by their settings alone."""
    for line in text.splitlines():
        print(re.sub(r"^ config(\.| (?=options))", " ", _without_markup(line)).rstrip())


def typed(arguments: Sequence[str], known: Sequence[Flag]) -> list[Typed]:
    """Return what was typed, option by option, and a value after every boolean: ``--no-x`` is ``--x False``.

    Raises:
        UsageError: when an option is unknown, or a value is none of its few.
    """
    by_name = {name: flag for flag in known for name in flag.names}
    takes_words = any(not flag.names for flag in known)
    found = [Typed(None, [])]
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
        if name in _HELP:
            found.append(Typed(None, [name]))
            continue
        if not re.match(r"--?[A-Za-z]", name) or name.lower() in ("-inf", "-nan"):
            found[-1].words.append(word)
            continue
        denied = by_name.get(f"--{name.removeprefix('--no-')}") if name not in by_name else None
        flag = denied if denied and denied.boolean else by_name.get(name)
        if flag is None:
            error = unknown_name("option", name, [each for each in by_name if len(each) > 2])
            # A long list of them helps nobody.
            raise UsageError(str(error).partition(" (known")[0] + " (--help lists all)")
        if not flag.boolean:
            following = value if equals else next(iter(waiting), "")
            if flag.choices and following not in (*flag.choices, "None", ""):
                raise unknown_name(name.removeprefix("--"), following, flag.choices)
            found.append(Typed(flag, [flag.names[0], value] if equals else [flag.names[0]]))
            continue
        if not equals and waiting and (waiting[0].lower() in _TRUTH or not (takes_words or waiting[0][0] == "-")):
            value = waiting.pop(0)
        truth = _TRUTH.get(value.lower(), "" if value else "True")
        if not truth or (denied and (equals or value)):
            raise UsageError(f"{name} needs True or False, got {value!r}")
        found.append(Typed(flag, [flag.names[0], "False" if denied else truth]))
    return found


def values_of(typed: Sequence[Typed]) -> dict[str, str]:
    """Return the value of every option that was typed with one, the last, by the setting's place."""
    return {each.flag.place: each.words[1] for each in typed if each.flag is not None and len(each.words) > 1}


def _one_line(box: str) -> str:
    """What tyro says in a box, without the box, its title and the help that it repeats."""
    lines = [line.strip(" │") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    rule = next((number for number, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(" ".join(lines[:rule]).split())
    return re.sub(r"^Error parsing ([a-z][\w.]*: )?|\[/?bold\]", "", text)
