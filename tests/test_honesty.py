"""Numbers in README come from results/; the prose around them claims none."""

from __future__ import annotations

import json
import re
import shlex
from itertools import takewhile

import pytest
from benchmarks.pages.fine_tuning import render_fine_tuning
from benchmarks.pages.markdown import BEGIN, END, REPOSITORY, replace_block
from benchmarks.pages.results import render_readme, render_results

from netdeconv.experiments.running.experiment import experiment

# By results file; the code that made those of results/tried/ is gone.
COMMANDS = {
    path.stem: shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
    for path in (REPOSITORY / "results").rglob("*.json")
    if path.parent.name != "tried"
}
REPRODUCED = sorted(name for name, words in COMMANDS.items() if words[:2] == ["netdeconv", "reproduce"])
CLAIM = re.compile(r"\d\s*%|\b(faster|slower|outperforms?|state[- ]of[- ]the[- ]art)\b|\d\s*times", re.IGNORECASE)


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
        ("README.md", render_readme),
        ("docs/results.md", render_results),
        ("docs/fine-tuning.md", render_fine_tuning),
    ],
)
def test_blocks_are_what_the_results_say(page, block):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert replace_block(text, block(REPOSITORY / "results")) == text, "run: python -m benchmarks.render_results"


@pytest.mark.parametrize("name", REPRODUCED)
def test_the_command_of_a_results_file_names_rows_of_today(name):
    _, _, of, *words = COMMANDS[name]
    rows = takewhile(lambda word: not word.startswith("--"), words)
    assert experiment(of).select(rows)  # a name or row that is unknown raises


def test_readme_is_short_and_shows_one_small_table():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    block = text[text.index(BEGIN) : text.index(END)]
    assert 3 <= block.count("\n| ") <= 2 + 6


def test_prose_outside_the_block_makes_no_measured_claim():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    prose = text[: text.index(BEGIN)] + text[text.index(END) :]
    assert CLAIM.search(prose) is None


def test_table_keeps_every_row_and_its_origin(table, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(table))
    text = render_results(tmp_path)
    assert "| vgg11 | 50.12 60 |" in text
    assert "| failed | - |" in text
    assert "`netdeconv compare`; seed 0, 1; 2 cores; 1.5 minutes." in text


def test_a_file_without_its_origin_is_refused(table, tmp_path):
    del table["command"]
    (tmp_path / "a.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"a\.json lacks \['command'\]"):
        render_results(tmp_path)


def test_rows_with_other_keys_are_refused(table, tmp_path):
    table["rows"][1] = {"network": "x"}
    (tmp_path / "a.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="same keys"):
        render_results(tmp_path)


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="exactly one"):
        replace_block("no markers", "block")
