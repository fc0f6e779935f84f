"""The public names stay as listed in public_names.txt, and each says what its user needs to know."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from pathlib import Path

import pytest

MODULES = (
    "netdeconv",
    "netdeconv.linalg",
    "netdeconv.nn",
    "netdeconv.surgery",
    "netdeconv.health",
    "netdeconv.published",
)
LIST = Path(__file__).with_name("public_names.txt")


def public_names() -> list[str]:
    return [f"{m}.{name}" for m in MODULES for name in sorted(importlib.import_module(m).__all__)]


def resolve(qualified: str):
    module, name = qualified.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def described() -> list[str]:
    """Classes and functions among the public names, each once, under its shortest name."""
    found: dict[int, str] = {}
    for qualified in public_names():
        thing = resolve(qualified)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            found.setdefault(id(thing), qualified)
    return list(found.values())


def raises_itself(thing) -> bool:
    """Whether the body of a function, or of a class's constructor, has a raise statement."""
    source = thing
    if inspect.isclass(thing):
        source = vars(thing).get("__post_init__") or vars(thing).get("__init__")
        if not inspect.isfunction(source) or source.__code__.co_filename.startswith("<"):
            return False  # inherited, or written by dataclasses
    tree = ast.parse(textwrap.dedent(inspect.getsource(source)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


def required_sections(thing) -> set[str]:
    """Sections of the house form that can be told from the code; the others are for the reader to judge."""
    needed = set()
    constructed = inspect.isclass(thing) and issubclass(thing, BaseException)
    parameters = [] if constructed else [p for p in inspect.signature(thing).parameters if p != "self"]
    if parameters:
        needed.add("Args:")
    annotations = inspect.get_annotations(thing) if inspect.isfunction(thing) else {}
    if annotations.get("return", "None") not in ("None", None):
        needed.add("Returns:")
    if any(a in ("Tensor", "torch.Tensor") for name, a in annotations.items() if name != "return"):
        needed.add("Shapes:")
    if raises_itself(thing):
        needed.add("Raises:")
    return needed


def test_public_names_are_the_listed_ones():
    listed = LIST.read_text(encoding="utf-8").split()
    present = public_names()
    assert present == listed, (
        f"new: {sorted(set(present) - set(listed))}, gone: {sorted(set(listed) - set(present))}; "
        "a deliberate change edits tests/public_names.txt and CHANGELOG.md"
    )


def test_there_are_no_names_beside_all():
    module = importlib.import_module("netdeconv")
    extra = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name not in module.__all__
    ]
    assert extra in ([], ["annotations"])


@pytest.mark.parametrize("qualified", described())
def test_public_name_has_the_sections_that_apply(qualified):
    thing = resolve(qualified)
    text = thing.__doc__ or ""
    assert text.strip(), "no docstring"
    text = text.replace("Attributes:", "Args:")  # what is returned to a user has attributes, not arguments
    missing = {section for section in required_sections(thing) if section not in text}
    assert not missing, f"{qualified} does not say: {sorted(missing)}"
