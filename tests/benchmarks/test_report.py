"""Tables of measurements: where they come from, how they are shown, and that the committed pages are what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.harness import environment, tables
from benchmarks.pages.fine_tuning import render_fine_tuning
from benchmarks.pages.markdown import REPOSITORY, compact, load, render_rows, render_table
from benchmarks.pages.performance import render_performance


def table(**ratios: float | None) -> dict[str, Any]:
    rows = [
        {"variant": name, "to batch norm": ratio, "memory, MB": 10.0, "memory to batch norm": 0.5, "error": None}
        for name, ratio in ratios.items()
    ]
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


def test_the_page_of_performance_has_one_row_for_each_configuration(tmp_path):
    assert "No measurements are recorded yet." in render_performance(tmp_path)
    ratios = {"batch_norm": 1.0, "default": 0.97, "paper": None}
    (tmp_path / "training-step-vgg11-float32-cuda.json").write_text(json.dumps(table(**ratios)))
    (tmp_path / "memory-vgg11-float32-cpu.json").write_text(json.dumps(table(**ratios)))
    text = render_performance(tmp_path)
    assert "| VGG-11 | CUDA, float32 | 1 | 0.97 |" in text
    assert "| VGG-11 | CPU, float32 | 10 | 0.5 | 0.5 | 0.5 |" in text
    assert "Evaluation" not in text


def test_the_former_library_stands_beside_the_present_one(tmp_path):
    ratios = {("7c809aa", "default"): 1.25, ("here", "default"): 1.125, ("7c809aa", "batch_norm"): 1.0}
    rows = [
        {"network": "vgg11", "checkout": checkout, "variant": variant, "step / batch norm": ratio}
        | {"memory / batch norm": 1 / ratio}
        for (checkout, variant), ratio in ratios.items()
    ]
    (tmp_path / "against-float32-cpu.json").write_text(json.dumps(table(batch_norm=1.0) | {"rows": rows}))
    assert "| VGG-11 | CPU, float32 | default | 1.25 | 1.125 | 0.8 | 0.8889 |" in render_performance(tmp_path)


def test_the_words_on_fine_tuning_follow_from_its_numbers(tmp_path):
    assert "Not measured yet" in render_fine_tuning(tmp_path)
    rows = [
        {"candidate": name, "images": 1000, "lr 0.1": 50.0, "accuracy": accuracy, "spread": 0.5, "seeds": 3}
        for name, accuracy in {"batch norm": 60.0, "whitened": 61.5, "from scratch": 59.2, "other": None}.items()
    ]
    (tmp_path / "fine-tuning.json").write_text(json.dumps(table(batch_norm=1.0) | {"rows": rows}))
    text = render_fine_tuning(tmp_path)
    assert "With 1000 images batch norm reaches 60.0 %; whitened is 1.5 points above; from scratch is 0.8" in text
    assert "from scratch is 0.8 points below, within the spread over seeds; other is not finished." in text


def test_the_committed_page_is_what_the_results_say():
    page = (REPOSITORY / "docs" / "performance.md").read_text(encoding="utf-8")
    assert render_performance(REPOSITORY / "results" / "benchmarks") in page, "run: python -m benchmarks.render_results"


def test_every_results_file_is_told_of_and_every_link_of_what_was_tried_is_there():
    told = [(REPOSITORY / name / "README.md").read_text(encoding="utf-8") for name in ("results", "results/benchmarks")]
    for file in (REPOSITORY / "results").rglob("*.json"):
        load(file)
        kind = file.parent.name if file.parent.name == "tried" else file.stem.partition("-")[0]
        assert any(kind in text for text in told), file
    page = (REPOSITORY / "docs" / "tried.md").read_text(encoding="utf-8")
    links = [word.partition(")")[0] for word in page.split("](")[1:]]
    assert all((REPOSITORY / "docs" / link).exists() for link in links)


def test_quartiles_stand_behind_their_median_and_empty_columns_are_not_shown():
    rows = [
        {"variant": "a", "seconds": 2.0, "seconds, quartiles": [1.5, 2.5], "loss": None, "error": None},
        {"variant": "b", "seconds": None, "seconds, quartiles": None, "loss": 1.0, "error": None},
    ]
    assert compact(rows)[0] == {"variant": "a", "seconds": "2 (1.5 2.5)", "loss": None, "error": None}
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
        "Name", command="command", seed=3, device=torch.device("cpu"), begun=0.0, rows=[{"a": 1.0}], note="n"
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
