"""Run directories are read as they are, also half written; the page and the dashboard say what is in them."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys

import pytest
import torch
from rich.console import Console

from netdeconv.cli import main, report
from netdeconv.report import page
from netdeconv.report.dashboard import screen, spark, state
from netdeconv.report.figures import family
from netdeconv.report.mistakes import mistakes_of
from netdeconv.report.runs import SavedRun, find_runs
from netdeconv.tasks.trained import load_trained
from netdeconv.training.run_directory import RunDirectoryError
from netdeconv.training.session import run
from small_runs import small_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whitened"
    run(small_config(path, epochs=2, recalibration=1))
    return path


@pytest.fixture
def running(finished, tmp_path):
    """A run as another process sees it in its second epoch, which writes half a line; another seed of the same."""
    path = tmp_path / "whitened_seed_0"
    shutil.copytree(finished, path)
    (path / "summary.json").unlink()
    first = (path / "metrics.jsonl").read_text().splitlines()[0]
    (path / "metrics.jsonl").write_text(first + '\n{"epoch": 2, "tra')
    return path


def shown(path, width=100, **settings) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, **settings)
    console.print(screen(find_runs([path]), console))
    return out.getvalue()


def test_a_run_that_is_still_written_is_read_up_to_its_last_whole_line(running):
    read = SavedRun.read(running)
    assert [record["epoch"] for record in read.history] == [1]
    assert not read.is_finished
    assert state(read).startswith("running, last wrote 0:00:")
    assert state(read, now=(running / "config.json").stat().st_mtime + 10_000).startswith("stopped? silent for 2:46:")


def test_what_is_no_run_is_refused(tmp_path, capsys):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        find_runs([tmp_path])
    for command in ("watch", "report", "visualize"):
        assert main([command, str(tmp_path)]) == 1
        assert "holds no run" in capsys.readouterr().err
    assert main(["report"]) == 2


def test_a_comparison_s_runs_are_those_that_are_no_search(finished, tmp_path):
    for place in ("one,_search_lr_0.1", "one_seed_0", "one_seed_1"):
        shutil.copytree(finished, tmp_path / place)
    for seed in (0, 1):
        file = tmp_path / f"one_seed_{seed}" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"seed": seed}))
    runs = find_runs([tmp_path])
    assert sorted(one.label for one in runs) == ["one_seed_0", "one_seed_1"]
    assert {family(one) for one in runs} == {"one"}
    assert "2/2" in shown(tmp_path)
    lines = [{"data": "digits", "normalisation": "default", "lr 0.1": 90.0, "lr 0.01": 80.0}]
    (tmp_path / "summary.json").write_text(json.dumps({"table": lines}))
    assert page._rates(tmp_path) is not None
    assert page._rates(finished) is None


def test_a_checkpoint_that_does_not_fit_is_named(running, capsys):
    state = torch.load(running / "checkpoint.pt", weights_only=True)
    torch.save(state | {"format": 99}, running / "checkpoint.pt")
    assert main(["visualize", str(running), "-o", str(running / "x")]) == 1
    assert "has format 99 of another version" in capsys.readouterr().err
    (running / "checkpoint.pt").unlink()
    assert main(["visualize", str(running)]) == 1
    assert "no epoch was finished" in capsys.readouterr().err
    config = json.loads((running / "config.json").read_text())
    (running / "config.json").write_text(json.dumps(config | {"of_tomorrow": 1}))
    assert main(["visualize", str(running)]) == 1
    assert "is of another version" in capsys.readouterr().err
    # the page and the dashboard still show what there is
    assert "epoch" in shown(running)
    html = page.write_report([running], running / "report.html").read_text()
    assert "is of another version" in html


def test_the_page_holds_everything_and_points_nowhere(finished, running, tmp_path):
    html = page.write_report([finished, running], tmp_path / "report.html").read_text()
    own = html[: html.index('<script type="application/json"')]
    assert not re.findall(r'(?:src|href|action)="(?!data:|#)', own)
    for text in ("whitened_seed_0", "1 of 2 epochs", "Time to accuracy", "Health of whitened layers", "Confusion"):
        assert text in own
    assert 16 > own.count("<figure>") >= 8  # of one of the seeds
    accuracy = json.loads((finished / "summary.json").read_text())["accuracy"]
    assert f"<td>{accuracy:.2f}</td>" in own
    data = json.loads(re.search(r'id="data">(.*?)</script>', html).group(1))
    assert [one["epoch"] for one in data["runs"]] == [[1, 2], [1]]
    assert data["runs"][0]["step"] == [10, 20]
    assert data["health"][0]["layers"]


def test_wrong_images_are_drawn_and_counted(finished):
    found, pictures = mistakes_of(load_trained(finished))
    matrix = torch.tensor(found["matrix"])
    assert int(matrix.sum()) == found["images"] == 500
    accuracy = json.loads((finished / "summary.json").read_text())["accuracy"]
    assert 100 * int(matrix.trace()) / 500 == pytest.approx(accuracy)
    drawn = [panel for panel in pictures.axes if panel.get_images()]
    assert len(drawn) == min(12, 500 - int(matrix.trace()))
    true, guess = re.match(r"class (\d),\nseen as class (\d)", drawn[0].get_title()).groups()
    assert matrix[int(true), int(guess)] > 0
    assert true != guess


def test_names_cannot_break_the_page(finished, tmp_path):
    evil = tmp_path / "</script><b>x"
    shutil.copytree(finished, evil)
    (evil / "checkpoint.pt").unlink()
    html = page.write_report([evil], tmp_path / "report.html").read_text()
    assert "<b>x" not in html


def test_a_missing_package_is_named(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(finished), "-o", str(tmp_path / "report.html")]) == 1
    assert "needs jinja2, which is not installed: pip install" in capsys.readouterr().err
    assert report.page(finished) == "no report: jinja2 is not installed\n"


@pytest.mark.parametrize("width", [40, 100])
def test_the_dashboard_fits_and_says_what_there_is(finished, running, width):
    for path in (finished, running):
        text = shown(path, width)
        assert max(map(len, text.splitlines())) <= width
        for word in ("lenet", "digits", "images/s", "accuracy", "health"):
            assert word in text
    assert "finished" in shown(finished, width)
    assert "ETA" in shown(running, width)
    assert "few_rows" not in shown(finished, width)
    assert "a larger eps" in " ".join(shown(finished, 59).split())


def test_without_colour_and_unicode_the_dashboard_is_plain(finished, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=out, width=40, force_terminal=True)
    console.print(screen(find_runs([finished]), console))
    out.flush()
    text = out.buffer.getvalue().decode("ascii")
    assert "accuracy" in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)


def test_bars_are_as_high_as_their_values():
    assert spark([0, 1, 2], 9) == "▁▅█"
    assert spark([3, 3], 9) == "▁▁"
    assert spark([], 9) == ""
    assert len(spark(list(range(500)), 20)) == 20


def test_watching_ends_with_the_run_and_looks_once_where_there_is_no_terminal(finished, running, capsys):
    assert main(["watch", str(finished)]) == 0
    assert main(["watch", str(running), "--once"]) == 0
    assert capsys.readouterr().out.count("images/s") == 2
    assert main(["watch", str(running), "--every", "0"]) == 2


def test_every_figure_of_a_run_is_written_without_a_display(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    out = tmp_path / "figures"
    assert main(["visualize", str(finished), "-o", str(out), "--formats", "png"]) == 0
    names = {file.stem for file in out.iterdir()}
    expected = {"covariance", "filters", "deconvolved", "spectra", "ranks", "sparsity", "weights", "memory", "curves"}
    assert names == expected
    assert main(["visualize", str(finished), "--layer", "12x", "-o", str(out)]) == 2
    assert "did you mean '12'" in capsys.readouterr().err
    (tmp_path / "no.png").write_text("no image")
    assert main(["visualize", str(finished), "--image", str(tmp_path / "no.png"), "-o", str(out)]) == 1
    assert "no.png cannot be decoded" in capsys.readouterr().err
