"""What is shown runs: the python blocks of README.md and docs/, and the docstrings' examples."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# Blocks opened with "python" run, in order and in one namespace a file. A block that only shows
# a form, such as a session on a cluster, is opened with "py".
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A row of a settings table: | `name` | `default` | meaning |
SETTING = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in BLOCK.finditer(text)]


def library_modules() -> list[str]:
    names = []
    for part in ("linalg", "nn", "surgery", "published"):
        package = importlib.import_module(f"netdeconv.{part}")
        names.append(package.__name__)
        names.extend(info.name for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."))
    return names


def test_readme_shows_code():
    assert blocks(REPOSITORY / "README.md")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for line, source in blocks(page):
        # Blank lines in front make a traceback name the page's own line.
        code = compile("\n" * (line - 1) + source, str(page), "exec")
        exec(code, namespace)


@pytest.mark.parametrize("name", library_modules())
def test_docstring_examples_run(name):
    module = importlib.import_module(name)
    # As after "from netdeconv import *" and the usual two lines of torch.
    package = importlib.import_module("netdeconv")
    public = {public_name: getattr(package, public_name) for public_name in package.__all__}
    known = {"torch": torch, "nn": torch.nn, **public, **vars(module)}
    failed, _ = doctest.testmod(module, globs=known, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    broken = [target for target in targets if not (page.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("page", ["docs/conversion.md"])
def test_settings_tables_state_the_defaults(page):
    whitening = importlib.import_module("netdeconv.nn.whitening").Whitening
    defaults = {field.name: field.default for field in dataclasses.fields(whitening)}
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    stated = {name: ast.literal_eval(value) for name, value in SETTING.findall(text)}
    assert stated == defaults


def test_the_site_builds_strictly(tmp_path):
    """Every page in the navigation, every link and anchor, every name of the reference."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "WhitenedConv2d" in (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in (REPOSITORY / "docs" / "notebooks").glob("*.ipynb")))
def test_notebooks_run(name):
    """In this process, cell after cell: a kernel would take longer to start than the cells to run."""
    pytest.importorskip("sklearn")
    notebook = json.loads((REPOSITORY / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 2
    namespace: dict[str, object] = {"__name__": "__notebook__"}
    for number, source in enumerate(cells):
        exec(compile(source, f"{name}, cell {number}", "exec"), namespace)
