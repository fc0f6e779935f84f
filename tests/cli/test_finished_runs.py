"""evaluate, predict and export: what is done with a run that is finished."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from PIL import Image

from netdeconv.cli import main
from netdeconv.data import read
from netdeconv.models import NormConfig
from netdeconv.training import run
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
    assert f"accuracy {finished.accuracy:.4f}" in text
    assert f"loss {finished.history[-1]['loss']:.4f}" in text
    batch = said(capsys, "evaluate", finished.path, "--statistics", "batch", "--threads", 1)
    assert batch != text


def test_what_cannot_be_evaluated_is_refused(finished, capsys, tmp_path):
    assert "holds no run" in refused(capsys, "evaluate", tmp_path)
    assert "no best.pt" in refused(capsys, "evaluate", finished.path, "--best", "True")
    assert "--split val" in refused(capsys, "evaluate", finished.path, "--split", "val")


def test_images_of_any_size_are_classified(finished, capsys, tmp_path):
    train, _ = read("digits")
    for number in range(8):
        image = Image.fromarray(train.images[number, :, :, 0].numpy()).resize((48, 48))
        image.save(tmp_path / f"{number}.png")
    lines = said(capsys, "predict", finished.path, *sorted(tmp_path.glob("*.png")), "--threads", 1).splitlines()
    first = [int(re.search(r"class (\d+)", line)[1]) for line in lines]
    right = sum(a == b for a, b in zip(first, train.labels[:8].tolist(), strict=True))
    assert right >= 6  # of images that it has learned from, at another size


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
    assert onnx["accuracy_exported"] == pytest.approx(finished.accuracy)
    assert abs(int8["accuracy_exported"] - finished.accuracy) <= 1
    assert set(weights) == {"format"}
    assert (finished.path / "export" / "model-int8.onnx").stat().st_size > 0
