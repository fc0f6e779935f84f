"""evaluate, predict and export: what is done with a run that is finished."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import re

import pytest
from PIL import Image

from netdeconv.cli import main
from netdeconv.data.memory import read
from netdeconv.data.registry import DATASETS
from netdeconv.models import NormConfig
from netdeconv.tasks.trained import load_trained
from netdeconv.training.session import run
from small_runs import small_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = small_config(tmp_path_factory.mktemp("runs") / "run", epochs=2)
    network = dataclasses.replace(config.network, norm=NormConfig(name="default"))
    return run(dataclasses.replace(config, network=network))


def said(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) in (1, 2)
    return capsys.readouterr().err


def test_evaluating_again_gives_the_run_s_own_numbers(finished, capsys):
    text = said(capsys, "evaluate", finished.path, "--threads", 1)
    assert f"accuracy {finished.score:.4f}" in text
    assert f"loss {finished.history[-1]['loss']:.4f}" in text
    batch = said(capsys, "evaluate", finished.path, "--statistics", "batch", "--threads", 1)
    assert batch != text


def test_what_cannot_be_evaluated_is_refused(finished, capsys, tmp_path):
    assert "holds no run" in refused(capsys, "evaluate", tmp_path)
    assert "--split val" in refused(capsys, "evaluate", finished.path, "--split", "val")


def test_the_class_of_an_image_file_is_the_network_s(finished, capsys, tmp_path):
    _, test = read("digits")
    for number in range(8):
        Image.fromarray(test.images[number, :, :, 0].numpy()).save(tmp_path / f"{number}.png")
    trained = load_trained(finished.path)
    images, _ = next(iter(trained.batches("evaluation")))
    shares, classes = trained.scores(images[:8]).softmax(1).max(1)
    lines = said(capsys, "predict", finished.path, *sorted(tmp_path.glob("*.png")), "--threads", 1).splitlines()
    for line, share, number in zip(lines, shares.tolist(), classes.tolist(), strict=True):
        said_class, said_percent = re.search(r"png: class (\d+) ([\d.]+) %", line).groups()
        assert int(said_class) == number
        # One decimal is printed.
        assert abs(float(said_percent) - 100 * share) < 0.0501


def test_classes_have_the_names_of_their_data_set(finished, tmp_path):
    table = importlib.resources.files("netdeconv.data").joinpath("names.json").read_text(encoding="utf-8")
    assert {name: len(names) for name, names in json.loads(table).items()} == {
        name: DATASETS[name].num_classes for name in ("cifar10", "cifar100", "fashion_mnist")
    }
    trained = load_trained(finished.path)
    assert trained.class_names[3] == "class 3"  # digits
    colour = dataclasses.replace(trained.config.data, dataset="cifar10")
    known = dataclasses.replace(trained, config=dataclasses.replace(trained.config, data=colour))
    assert known.class_names[3] == "cat"
    for name in range(10):
        (tmp_path / "train" / f"n{name}").mkdir(parents=True)
    data = dataclasses.replace(trained.config.data, dataset="imagenet", data_dir=str(tmp_path))
    folders = dataclasses.replace(trained, config=dataclasses.replace(trained.config, data=data))
    assert folders.class_names[3] == "n3"
    gone = dataclasses.replace(data, data_dir=str(tmp_path / "gone"))
    assert (
        dataclasses.replace(trained, config=dataclasses.replace(trained.config, data=gone)).class_names[3] == "class 3"
    )


def test_an_image_of_another_size_is_brought_to_the_network_s(finished, capsys, tmp_path):
    Image.new("RGB", (70, 45)).save(tmp_path / "wide.png")
    assert "wide.png: class" in said(capsys, "predict", finished.path, tmp_path / "wide.png", "--threads", 1)


def test_no_image_and_a_damaged_one_are_refused(finished, capsys, tmp_path):
    assert "which images" in refused(capsys, "predict", finished.path)
    (tmp_path / "odd.png").write_bytes(b"nothing")
    assert "odd.png" in refused(capsys, "predict", finished.path, tmp_path / "odd.png")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_exported_files_agree_over_the_whole_test_set(finished, capsys):
    pytest.importorskip("onnxruntime")
    said(capsys, "export", finished.path, "--formats", "onnx", "int8", "weights", "--threads", 1)
    about = json.loads((finished.path / "export" / "export.json").read_text())
    assert about["input"]["shape"] == ["batch", 1, 32, 32]
    onnx, int8, weights = (about["files"][f"model{end}"] for end in (".onnx", "-int8.onnx", ".safetensors"))
    assert onnx["same_top1"] == onnx["predictions"] == 500
    assert onnx["accuracy_exported"] == pytest.approx(finished.score)
    # 500 images after two epochs: a standard error is 2 points (over 10000 images: results/checks)
    assert abs(int8["accuracy_exported"] - finished.score) <= 4
    assert set(weights) == {"format"}
    assert about["classes"][:2] == ["class 0", "class 1"]
    assert (finished.path / "export" / "model-int8.onnx").stat().st_size > 0
