"""The page of targets: met, not met, failed and unmeasured; and that the committed page is what the results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.harness import environment, tables
from benchmarks.performance_report import Target, targets
from benchmarks.render_results import compact, load, render_rows, render_table

from benchmarks import performance_report

STEP = "training-step-vgg11-bfloat16-cpu.json"


def target(**changes: Any) -> Target:
    settings = {
        "figure": "step",
        "configuration": "here",
        "at_most": 1.0,
        "file": f"benchmarks/{STEP}",
        "column": "to batch norm",
        "rows": ("channel", "full"),
        "how": "run it",
    }
    return Target(**{**settings, **changes})


def table(**ratios: float | None) -> dict[str, Any]:
    rows = [{"variant": name, "to batch norm": ratio, "error": None} for name, ratio in ratios.items()]
    return {
        "name": "Training step",
        "command": "python -m benchmarks.training_step",
        "config": {},
        "seed": 0,
        "versions": {},
        "hardware": "2 cores",
        "minutes": 1.0,
        "rows": rows,
    }


@pytest.mark.parametrize(
    ("ratios", "met"),
    [
        ({"channel": 0.9, "full": 1.0}, "yes"),
        ({"channel": 0.9, "full": 1.001}, "no"),
        ({"channel": 0.9}, "-"),
        ({"channel": 1.1}, "no"),
        ({"channel": 0.9, "full": None}, "no"),
    ],
)
def test_a_target_is_met_by_all_its_rows(ratios, met):
    assert target().judge(table(batch_norm=1.0, **ratios))["met"] == met


def test_the_best_row_may_be_enough():
    best = target(rows=(), best=True)
    assert best.judge(table(batch_norm=0.1, channel=1.2, full=0.9))["met"] == "yes"
    assert best.judge(table(batch_norm=0.1, channel=1.2, full=1.9))["met"] == "no"
    assert best.judge(table(batch_norm=0.1, channel=1.2))["measured"] == "channel 1.2"


def test_an_accuracy_that_was_not_reached_is_not_unmeasured():
    row = {"variant": "default", "epochs": 2, "test accuracy": 78.09, "to batch norm": None}
    line = target(rows=(), best=True).judge({"rows": [{"variant": "batch norm", "to batch norm": 1.0}, row]})
    assert (line["measured"], line["met"]) == ("default not reached (78.09 % after 2 epochs)", "no")


def test_what_was_measured_is_told():
    failed = table(channel=0.9123456, full=None)
    failed["rows"][1]["error"] = "OutOfMemoryError: no"
    assert target().judge(failed)["measured"] == "channel 0.9123, full failed (OutOfMemoryError: no)"
    assert target().judge(table(channel=0.5))["measured"] == "channel 0.5, full unmeasured"
    line = target().judge(None)
    assert (line["measured"], line["met"]) == ("unmeasured: run it", "-")


def test_the_page_has_targets_and_tables(tmp_path):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    assert "No measurements are recorded yet." in performance_report.render(tmp_path)
    content = table(batch_norm=1.0, channel=0.97, full=1.25)
    content["parts"] = [{"name": "Where the time goes", "rows": [{"operation": "mm", "per cent": 40.0}]}]
    (folder / STEP).write_text(json.dumps(content))
    text = performance_report.render(tmp_path)
    where = "VGG-11, batch 128, CPU, bfloat16"
    both = "training step / batch norm: channel"
    assert f"| {both} | {where} | 1 | channel 0.97 | yes |" in text
    assert f"| training step / batch norm: block 64 | {where} | 1.5 | full 1.25 | yes |" in text
    assert "| unmeasured: run benchmarks/gpu.sh on a GPU | - |" in text
    assert "### Training step\n" in text
    assert "#### Where the time goes\n\n| operation | per cent |\n|---|---|\n| mm | 40 |" in text
    assert "No measurements" not in text


def test_targets_are_those_of_the_issue():
    limits: dict[str, set[float]] = {}
    for one in targets():
        limits.setdefault(one.figure.partition(":")[0], set()).add(one.at_most)
    assert limits == {
        "training step / batch norm": {1.0, 1.1, 1.5},
        "memory for backward / batch norm": {0.9},
        "memory of a step / batch norm": {0.9},
        "folded inference / bare convolution network": {1.02},
        "seconds to the final accuracy of a searched batch norm / its seconds (the best variant)": {0.5},
    }


def test_the_committed_page_is_what_the_results_say():
    page = performance_report.PAGE.read_text(encoding="utf-8")
    block = performance_report.render(performance_report.RESULTS)
    assert block in page, "run: python -m benchmarks.performance_report"


def test_quartiles_stand_behind_their_median():
    rows = [
        {"variant": "a", "seconds": 2.0, "seconds, quartiles": [1.5, 2.5], "loss": None},
        {"variant": "b", "seconds": None, "seconds, quartiles": None, "loss": 1.0},
    ]
    assert compact(rows) == [
        {"variant": "a", "seconds": "2 (1.5 2.5)", "loss": None},
        {"variant": "b", "seconds": None, "loss": 1.0},
    ]
    assert render_rows(rows).splitlines()[2:] == ["| a | 2 (1.5 2.5) | - |", "| b | - | 1 |"]


def test_rows_are_given_the_same_keys():
    rows = tables.align([{"variant": "a", "error": "no"}, {"variant": "b", "seconds": 1.0}])
    assert [list(row.items()) for row in rows] == [
        [("variant", "a"), ("seconds", None), ("error", "no")],
        [("variant", "b"), ("seconds", 1.0), ("error", None)],
    ]


def test_parts_with_other_keys_are_refused(tmp_path):
    content = {**table(channel=1.0), "parts": [{"name": "part", "rows": [{"a": 1}, {"b": 1}]}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="same keys"):
        load(path)


def test_a_table_says_where_it_comes_from():
    made = tables.build(
        "Name", command="command", config={}, seed=3, device=torch.device("cpu"), begun=0.0, rows=[{"a": 1.0}], note="n"
    )
    made["minutes"] = 2.0
    text = render_table(made)
    assert f"`command`; seed 3; {made['hardware']}; 2 minutes.\n\nn" in text
    assert f"{torch.get_num_threads()} threads" in made["hardware"]
    assert {"python", "torch", "netdeconv"} <= set(made["versions"])


def test_folders_of_this_machine_are_not_recorded():
    given = ["--arch", "vgg11", "--output", "/here/a.json", "--data-dir=/data", "--rounds", "3"]
    assert environment.command("x", given) == "python -m benchmarks.x --arch vgg11 --rounds 3"


def test_written_files_are_read_back(tmp_path, capsys):
    path = Path(tmp_path) / "new" / "table.json"
    tables.write(table(channel=1.0), path)
    assert load(path) == table(channel=1.0)
    assert capsys.readouterr().out == f"written: {path}\n"
