"""Numbers in README come from results/; the prose around them claims none."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CLAIM = re.compile(r"\d\s*%|\b(faster|slower|outperforms?|state[- ]of[- ]the[- ]art)\b|\d\s*times", re.IGNORECASE)


@pytest.fixture(scope="module")
def renderer():
    path = REPOSITORY / "benchmarks" / "render_results.py"
    spec = importlib.util.spec_from_file_location("render_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def table():
    return {
        "name": "A table",
        "command": "netdeconv compare",
        "config": {},
        "seed": [0, 1],
        "versions": {"torch": "2.11"},
        "hardware": "2 cores",
        "minutes": 1.5,
        "rows": [
            {"network": "vgg11", "accuracy": [50.123456, 60.0]},
            {"network": "failed", "accuracy": None},
        ],
    }


@pytest.mark.parametrize(
    ("page", "block"),
    [
        ("README.md", "render_readme"),
        ("docs/results.md", "render"),
        ("docs/fine-tuning.md", "render_fine_tuning"),
    ],
)
def test_blocks_are_what_the_results_say(renderer, page, block):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert renderer.replace_block(text, getattr(renderer, block)(REPOSITORY / "results")) == text, (
        "run: python benchmarks/render_results.py"
    )


def test_readme_is_short_and_shows_one_small_table(renderer):
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    block = text[text.index(renderer.BEGIN) : text.index(renderer.END)]
    assert 3 <= block.count("\n| ") <= 2 + 6


def test_prose_outside_the_block_makes_no_measured_claim(renderer):
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    prose = text[: text.index(renderer.BEGIN)] + text[text.index(renderer.END) :]
    assert CLAIM.search(prose) is None


def test_table_keeps_every_row_and_its_origin(renderer, table, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(table))
    text = renderer.render(tmp_path)
    assert "| vgg11 | 50.12 60 |" in text
    assert "| failed | - |" in text
    assert "`netdeconv compare`; seed 0, 1; 2 cores; 1.5 minutes." in text


def test_a_file_without_its_origin_is_refused(renderer, table, tmp_path):
    del table["command"]
    (tmp_path / "a.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"a\.json lacks \['command'\]"):
        renderer.render(tmp_path)


def test_rows_with_other_keys_are_refused(renderer, table, tmp_path):
    table["rows"][1] = {"network": "x"}
    (tmp_path / "a.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="same keys"):
        renderer.render(tmp_path)


def test_a_readme_without_markers_is_refused(renderer):
    with pytest.raises(ValueError, match="exactly one"):
        renderer.replace_block("no markers", "block")
