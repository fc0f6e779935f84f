"""A command line follows from a dataclass."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Literal

import pytest
import tyro

from netdeconv.cli.parser import flags, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    """Images.

    Args:
        batch_size: images in a batch.
        augment: whether they are varied.
    """

    batch_size: Annotated[int, tyro.conf.arg(aliases=("-b",))] = 8
    augment: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Do it.

    Args:
        path: folder.
        name: of the optimizer.
        stem: whether there is one.
        device: where.
        inner: Images.
    """

    path: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")] = None
    name: Annotated[str, tyro.conf.arg(name="optimizer")] = "SGD"
    stem: bool | None = None
    device: Literal["auto", "cpu"] = "auto"
    inner: Inner = Inner()


def parsed(line: str, default: Options | None = None) -> Options:
    return parse(Options, line.split(), prog="netdeconv it", default=default)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Options()),
        ("-b 4 here --optimizer Adam", Options(path="here", name="Adam", inner=Inner(batch_size=4))),
        ("--batch_size=4", Options(inner=Inner(batch_size=4))),
        ("--augment False --stem yes", Options(stem=True, inner=Inner(augment=False))),
        ("--no-augment here --stem", Options(path="here", stem=True, inner=Inner(augment=False))),
        ("--no-stem --augment=1", Options(stem=False)),
    ],
)
def test_what_is_typed_becomes_settings(line, expected):
    assert parsed(line) == expected


def test_what_is_not_typed_stays_as_it_was():
    before = Options(name="Adam", inner=Inner(batch_size=2))
    assert parsed("--no-augment", before) == Options(name="Adam", inner=Inner(batch_size=2, augment=False))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--optimiser x", "unknown option '--optimiser'; did you mean '--optimizer'?"),
        ("--batch-siz=3", "did you mean '--batch-size'?"),
        ("-x", "unknown option '-x'"),
        ("--augment=perhaps", "--augment needs True or False, got 'perhaps'"),
        ("--no-augment False", "--no-augment needs True or False, got 'False'"),
        ("--batch-size many", "invalid literal for int"),
        ("--batch-size", "Missing value for argument '-b/--batch-size'"),
        ("--device cp", "unknown device 'cp'; did you mean 'cpu'?"),
        ("one two", "Unrecognized options: two"),
    ],
)
def test_what_makes_no_sense_is_one_line(line, message):
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        parsed(line)
    assert "\n" not in str(refused.value)


def test_help_says_what_docstrings_say(capsys):
    with pytest.raises(SystemExit) as done:
        parsed("--help")
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(
        part in text for part in ("netdeconv it", "Do it.", "PATH", "images in a batch.", "-b INT", "default: 8")
    )


def test_flags_have_names_places_and_defaults():
    found = {flag.names: (flag.place, flag.default, flag.boolean) for flag in flags(Options(inner=Inner(batch_size=2)))}
    assert found == {
        (): ("path", None, False),
        ("--optimizer",): ("name", "SGD", False),
        ("--stem",): ("stem", None, True),
        ("--device",): ("device", "auto", False),
        ("--batch-size", "-b"): ("inner.batch_size", 2, False),
        ("--augment",): ("inner.augment", True, True),
    }
