"""What is typed becomes the settings of a run; errors are one line and an exit code."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest

from netdeconv.cli import main, train
from netdeconv.models import NormConfig
from netdeconv.training import RunDirectory, load_checkpoint

pytestmark = pytest.mark.usefixtures("_no_drawing")
SMALL = (
    "--dataset digits --arch mlp --width 0.25 --epochs 2 --threads 1 --lr 0.02 --batch-size 256 --msg False "
    "--loggers csv"
)
TINY = "--dataset digits --arch linear --batch-size 256 --epochs 1 --threads 1 --msg False --loggers csv"
README = (
    "--lr .1 --optimizer SGD --arch vgg11 --epochs 20 --dataset cifar10 --batch-size 128 --msg True "
    "--deconv {} --block-fc {} --wd .001"
)


def settings(line: str):
    return train.options_of(shlex.split(line)).config


def refused(line: str, capsys) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = main(shlex.split(line))
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("netdeconv: ")
    assert "Traceback" not in captured.err
    return code, captured.err


def test_the_first_line_of_the_original_readme():
    config = settings(README.format("False", 0))
    assert config.network.arch == "vgg11"
    assert config.network.norm == NormConfig()
    assert (config.epochs, config.data.dataset, config.data.batch_size) == (20, "cifar10", 128)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("SGD", 0.1, 1e-3)
    assert (optimizer.momentum, optimizer.schedule) == (0.9, "cosine")


def test_the_second_line_of_the_original_readme():
    assert settings(README.format("True", 512)).network.norm == NormConfig(name="default", linear_group_size=512)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("--block 16", "group_size", 16),
        ("--deconv-iter 7", "num_iterations", 7),
        ("--eps 1e-3", "eps", 1e-3),
        ("--stride 2", "sampling_stride", 2),
        ("--rows-per-feature 16", "rows_per_feature", 16),
        ("--structure channel", "structure", "channel"),
        ("--block-fc 8", "linear_group_size", 8),
        ("--freeze False", "freeze", False),
        ("--stem False", "stem", False),
        ("--bias False", "bias", False),
    ],
)
def test_options_of_the_whitening_arrive(options, field, value):
    norm = settings(f"--deconv True {options}").network.norm
    assert norm == dataclasses.replace(NormConfig(name="default"), **{field: value})


def test_options_of_the_run_arrive():
    config = settings(
        "--width 0.5 --recalibration 3 --loss L2 --seed 3 --precision 32-true --threads 1 --validation-size 100 "
        "--momentum 0.8 --lr-scheduler multistep --optimizer AdamW --download --data-dir here "
        "--evaluate-all-statistics --check-finite --device cpu --result-path there --epochs 3"
    )
    assert (config.network.width, config.recalibration, config.task.loss, config.seed) == (0.5, 3, "L2", 3)
    assert (config.precision, config.threads, config.device, config.epochs) == ("32-true", 1, "cpu", 3)
    data = config.data
    assert (data.validation_size, data.download, data.data_dir) == (100, True, "here")
    optimizer = config.optimizer
    assert (optimizer.momentum, optimizer.schedule, optimizer.name) == (0.8, "multistep", "AdamW")
    assert (config.evaluate_all_statistics, config.check_finite, config.result_path) == (
        True,
        True,
        "there",
    )


def test_without_a_stem_of_its_own_and_without_linear_layers():
    found = settings("--deconv True --stem False --block-fc 0").network.norm.settings()
    assert found.stem == found.convolution
    assert found.linear is None


@pytest.mark.parametrize("text", ["True", "true", "1", "yes"])
def test_truth_has_several_spellings(text):
    assert settings(f"--deconv {text}").network.norm.whitens


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("compare --norm paper", "a comparison has several: --variants instead of --norm"),
        ("compare --seed 3", "a comparison has several: --seeds instead of --seed"),
        ("compare --lr .3", "a comparison has several: --lrs instead of --lr"),
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("train --arhc vgg11", "unknown option '--arhc'; did you mean '--arch'?"),
        ("train --lrr=3", "unknown option '--lrr'; did you mean '--lr'?"),
        ("train --epoch 3", "unknown option '--epoch'; did you mean '--epochs'?"),
        ("train --arch vgg12", "unknown architecture 'vgg12'; did you mean"),
        ("train --dataset cifr10", "unknown dataset 'cifr10'; did you mean 'cifar10'?"),
        ("train --optimizer adam", "unknown optimizer 'adam'; did you mean 'Adam'?"),
        ("train --lr-scheduler cosinus", "unknown lr-scheduler 'cosinus'; did you mean 'cosine'?"),
        ("train --loggers tensorbord", "unknown loggers 'tensorbord'; did you mean 'tensorboard'?"),
        ("train --loss CEE", "unknown loss 'CEE'; did you mean 'CE'?"),
        ("train --deconv perhaps", "--deconv needs True or False, got 'perhaps'"),
        ("train --epochs 0", "epochs must be at least 1, got 0"),
        ("train --epochs many", "--epochs: invalid literal for int"),
        ("train --deconv True --block 0", "group_size must be a positive integer, got 0"),
        ("train --deconv True --eps -1", "eps must be positive and finite, got -1.0"),
        ("train --structure ful", "unknown structure 'ful'; did you mean 'full'?"),
        ("train --batch-size 0 --dataset digits", "batch_size must be at least 1, got 0"),
        ("train --dataset digits --validation-size 5000", "cannot cut 5000 samples from 1297"),
        ("compare --variants ful", "unknown norm 'ful'; did you mean 'full16'?"),
        ("compare --ephocs 3", "unknown option '--ephocs'; did you mean '--epochs'?"),
        ("list arch", "unknown list 'arch'; did you mean 'archs'?"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_with_code_2(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, error = refused(line, capsys)
    assert code == 2
    assert message in error
    assert not list(tmp_path.glob("runs/*"))


def test_missing_data_is_refused_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, error = refused(f"train --dataset stl10 --data-dir {tmp_path}", capsys)
    assert code == 1
    assert str(tmp_path) in error
    assert "--download" in error


def test_training_leaves_a_run_directory_and_resuming_keeps_it(capsys, tmp_path, monkeypatch):
    path = tmp_path / "run"
    assert main(shlex.split(f"train {SMALL} --result-path {path}")) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert str(path) in out
    names = {
        "checkpoint.pt",
        "config.json",
        "curves.png",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
    }
    assert names <= {file.name for file in path.iterdir()}
    before = (path / "metrics.jsonl").read_text()
    assert main(["train", "--resume", str(path), "--msg", "False", "--lr", "0.02"]) == 0
    assert main(["train", "--resume", str(path / "checkpoint.pt"), "--msg", "False"]) == 0
    assert (path / "metrics.jsonl").read_text() == before
    capsys.readouterr()

    code, error = refused(f"train {SMALL} --result-path {path}", capsys)
    assert code == 1
    assert "already holds a run" in error
    code, error = refused(f"train --resume {path} --lr 0.5", capsys)
    assert code == 2
    assert "optimizer.lr was 0.02, not 0.5" in error
    code, error = refused(f"train --resume {path} --norm group_norm", capsys)
    assert code == 2
    assert "network.norm.name was 'batch_norm', not 'group_norm'" in error
    code, error = refused(f"train --resume {path} --arch vgg11", capsys)
    assert code == 2
    assert "network.arch was 'mlp', not 'vgg11'" in error
    code, error = refused(f"train --resume {path} --result-path {tmp_path / 'other'}", capsys)
    assert code == 2
    assert "leave --result-path out" in error
    monkeypatch.setattr("netdeconv.training.run_directory.RESUME_PATIENCE_S", 0.1)
    with RunDirectory(path, name="", resume=True):
        code, error = refused(f"train --resume {path}", capsys)
    assert code == 1
    assert "in use by another run" in error

    content = (path / "checkpoint.pt").read_bytes()
    (path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    code, error = refused(f"train --resume {path}", capsys)
    assert code == 1
    assert "checkpoint.pt is truncated" in error


def test_a_checkpoint_of_another_architecture_is_refused_with_the_keys(capsys, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(shlex.split(f"train {SMALL} --epochs 1 --result-path {first}")) == 0
    assert main(shlex.split(f"train {SMALL} --epochs 1 --arch lenet --result-path {second}")) == 0
    (first / "checkpoint.pt").write_bytes((second / "checkpoint.pt").read_bytes())
    capsys.readouterr()
    code, error = refused(f"train --resume {first}", capsys)
    assert code == 1
    assert "belongs to another network" in error
    assert "missing in the file: " in error
    assert load_checkpoint(first / "checkpoint.pt")["epoch"] == 1


def test_resuming_what_is_no_run_is_refused(capsys, tmp_path):
    code, error = refused(f"train --resume {tmp_path / 'nothing'}", capsys)
    assert code == 1
    assert "holds no run" in error
    assert not (tmp_path / "nothing").exists()


def test_a_diverging_run_is_refused_in_one_line(capsys, tmp_path):
    line = f"train {SMALL} --lr 1e30 --precision 32-true --result-path {tmp_path / 'run'}"
    code, error = refused(line, capsys)
    assert code == 1
    assert "--check-finite" in error


def test_a_comparison_in_which_all_diverge_fails(capsys, tmp_path):
    path = tmp_path / "c"
    line = f"compare {TINY} --lrs 1e30 --precision 32-true --variants batch_norm --result-path {path}"
    code, error = refused(line, capsys)
    assert code == 1
    assert "batch_norm, search lr 1e+30 wd 0.001: the training loss is" in error
    assert "curves" not in capsys.readouterr().out
    assert not (path / "curves.png").exists()


@pytest.mark.parametrize(
    "command", [f"train {SMALL}", "compare TINY --lrs .1 --variants none", "sweep TINY --lr-grid .1 --wd-grid 0"]
)
def test_ctrl_c_says_how_to_go_on(command, capsys, tmp_path, monkeypatch):
    """What is named is the directory of the command that was typed, not that of the run it was in."""
    from netdeconv.training import session

    line, path = command.replace("TINY", TINY), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(session, "save_checkpoint", interrupted)
        code, error = refused(f"{line} --result-path {path}", capsys)
    assert code == 130
    assert f"--resume {path} " in error
    assert main([command.split()[0], "--resume", str(path), "--msg", "False"]) == 0


def interrupted(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_modules_are_loaded_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("importlib.import_module", interrupted)
    code, error = refused("train", capsys)
    assert (code, error) == (130, "netdeconv: stopped\n")


def test_comparing_prints_the_table_and_leaves_it(capsys, tmp_path):
    path = tmp_path / "c"
    line = f"compare {TINY} --block 4 --block-fc 32 --search-epochs 1 --lrs .1 --seeds 0 --result-path {path}"
    assert main(shlex.split(line)) == 0
    out = capsys.readouterr().out
    table = (path / "table.txt").read_text(encoding="utf-8")
    assert table in out
    summary = json.loads((path / "summary.json").read_text())
    for one in summary["table"]:
        assert f" {one['normalisation']} " in table
        assert f" {one['lr 0.1']:g} " in table
    assert {"rates.png", "curves.png"} <= {file.name for file in path.iterdir()}
    widths = [
        json.loads(file.read_text())["network"]["norm"]["group_size"] for file in path.glob("default,_*/config.json")
    ]
    assert set(widths) == {4}
    assert "default against batch_norm, each at its best rate" in out
    assert main(["compare", "--resume", str(path), "--msg", "False"]) == 0
    assert (path / "table.txt").read_text(encoding="utf-8") == table
    code, error = refused(f"compare --resume {path} --block 8", capsys)
    assert code == 2
    assert "leave --group-size out" in error


def test_more_epochs_can_be_added_where_the_schedule_allows_it(capsys, tmp_path):
    path = tmp_path / "run"
    line = f"train {SMALL} --epochs 1 --result-path {path} --schedule"
    assert main(shlex.split(f"{line} constant")) == 0
    assert main(shlex.split(f"train --resume {path} --epochs 2")) == 0
    assert "epochs" in capsys.readouterr().out
    assert len((path / "metrics.jsonl").read_text().splitlines()) == 2
    other = tmp_path / "cosine"
    assert main(shlex.split(f"{line.replace(str(path), str(other))} cosine")) == 0
    code, error = refused(f"train --resume {other} --epochs 2", capsys)
    assert code == 2
    assert "epochs was 1, not 2 (the cosine schedule depends on it" in error


@pytest.mark.parametrize(
    "option", ["--block 8", "--structure channel", "--stride 2", "--eps 0.5", "--freeze True", "--deconv-iter 3"]
)
def test_resuming_ignores_no_setting(option, whitened, capsys):
    code, error = refused(f"train --resume {whitened} {option}", capsys)
    assert code == 2
    assert f"--resume keeps the settings of {whitened}, but network.norm." in error


@pytest.fixture(scope="module")
def whitened(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whitened"
    assert main(shlex.split(f"train {SMALL} --deconv True --block-fc 32 --epochs 1 --result-path {path}")) == 0
    return path
