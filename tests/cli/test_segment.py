"""``netdeconv segment`` and ``predict`` and ``compare --task segment``: what is typed arrives, and what comes out."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

import small_scenes
from netdeconv.cli import main, segment
from netdeconv.data.registry import segmentation_info
from netdeconv.models import NormConfig
from netdeconv.report.mistakes import mistakes_of
from netdeconv.tasks.trained import load_trained

PUBLISHED = (
    "--dataset cityscapes --model deeplabv3_resnet50 -b 8 --epochs 30 --deconv True "
    "--pretrained-backbone False --lr 0.1"
)
SMALL = (
    "--dataset camvid --model fcn_resnet18d --width 0.125 --block 8 --crop 24 32 -b 4 --threads 1 "
    "--precision 32-true --msg False --loggers csv"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return small_scenes.camvid(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def finished(root):
    """The directory of a run of two epochs."""
    line = f"segment {SMALL} --data-dir {root} --epochs 2 --result-path {root / 'run'}"
    assert main(shlex.split(line)) == 0
    return root / "run"


def settings(line: str):
    return segment.options_of(shlex.split(line)).config


def refused(line: str, capsys) -> tuple[int, str]:
    code = main(shlex.split(line))
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("netdeconv: ")
    return code, captured.err


def test_the_line_of_the_original_program():
    config = settings(PUBLISHED)
    assert (config.data.dataset, config.network.arch) == ("cityscapes", "deeplabv3_resnet50")
    assert (config.data.batch_size, config.epochs, config.optimizer.lr) == (8, 30, 0.1)
    assert (config.optimizer.schedule, config.optimizer.weight_decay) == ("poly", 1e-4)
    assert config.network.norm == NormConfig(name="default")
    assert (config.task.auxiliary, config.task.auxiliary_weight, config.task.pretrained_backbone) == (True, 0.5, False)


def test_a_d_at_the_end_of_a_name_means_converted():
    assert settings("--model fcn_resnet50d --structure full").network.norm == NormConfig(
        name="default", structure="full"
    )
    assert settings("--model fcn_resnet50").network.norm == NormConfig()
    assert settings("--model fcn_resnet50 --norm group_norm").network.norm.name == "group_norm"


def test_options_of_the_task_arrive():
    task = settings(
        "--size 180 240 --crop 90 120 --scale 0.75 1.5 --flip False --evaluate-on test --evaluation-batch 3 "
        "--auxiliary False --auxiliary-weight 0.3 --output-stride 16 "
        "--model fcn_resnet18 --dataset camvid"
    ).task
    views = task.views
    assert (views.size, views.crop, views.scale, views.flip) == ((180, 240), (90, 120), (0.75, 1.5), False)
    assert (views.evaluate_on, views.evaluation_batch) == ("test", 3)
    assert task.output_stride == 16
    assert (task.auxiliary, task.auxiliary_weight) == (False, 0.3)


def test_a_run_leaves_curves_and_scores_and_is_shown_in_overlays(finished, tmp_path):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["metric"] == "mean_iou"
    assert (summary["evaluated_on"], summary["epochs"]) == ("val", 2)
    record = json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])
    assert len(record["iou"]) == 11
    assert record["mean_iou"] == summary["mean_iou"]
    assert (finished / "curves.png").exists()
    _, overlays = mistakes_of(load_trained(finished))
    overlays.savefig(tmp_path / "overlays.png", dpi=100)
    with Image.open(tmp_path / "overlays.png") as picture:
        assert picture.width > 500
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_what_a_run_reached_is_printed_with_who_chose_the_epoch(root, tmp_path, capsys):
    line = f"segment {SMALL} --data-dir {root} --epochs 1 --result-path {tmp_path / 'run'}"
    assert main(shlex.split(line)) == 0
    printed = capsys.readouterr().out
    assert "val mean IoU" in printed
    assert "after epoch 1, chosen on val" in printed


def test_images_of_any_size_are_predicted(finished, root, tmp_path, capsys):
    other = tmp_path / "other.png"
    small_scenes.save(other, small_scenes.scene(9, [3, 0], (40, 60))[0])
    line = f"predict {finished} {root / 'camvid/test/test_00.png'} {other} --output {tmp_path / 'out'} --threads 1"
    assert main(shlex.split(line)) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "other-classes.png",
        "other-overlay.png",
        "test_00-classes.png",
        "test_00-overlay.png",
    ]
    with Image.open(tmp_path / "out/other-classes.png") as classes:
        assert classes.size == (60, 40)
        numbers_of = np.unique(np.array(classes))
        palette = np.array(classes.getpalette()).reshape(-1, 3)
    info = segmentation_info("camvid")
    assert numbers_of.max() < info.num_classes
    assert [tuple(color) for color in palette[:11].tolist()] == [each.color for each in info.classes]
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    shares = [float(part.split()[-2]) for part in out[1].partition("overlay.png: ")[2].split(", ")]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert shares == sorted(shares, reverse=True)
    assert {part.split()[0] for part in out[1].partition("overlay.png: ")[2].split(", ")} == {
        info.class_names[number] for number in numbers_of
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("segment --modle fcn_resnet18", "unknown option '--modle'; did you mean '--model'?"),
        ("segment --model fcn_resnet19", "unknown segmentation network 'fcn_resnet19'; did you mean 'fcn_resnet1"),
        ("segment --dataset citiscapes", "unknown segmentation dataset 'citiscapes'; did you mean 'cityscapes'?"),
        ("segment --size 240", "--size"),
        ("segment --size 0 180", "size must be a height and a width of at least 1"),
        ("segment --dataset camvid --crop 512 512", "the crop of 512x512 is larger than the images, 480x360"),
        (
            "segment --dataset camvid --size 180 240 --crop 180 250",
            "crop of 250x180 is larger than the images, 240x180",
        ),
        ("segment --scale 2 1", "scale must be a smaller and a larger positive factor"),
        ("segment --evaluate-on tst --dataset camvid", "unknown part to evaluate on 'tst'; did you mean 'test'?"),
        ("segment --model fcn_resnet50d --deconv False", "'fcn_resnet50d' means 'fcn_resnet50' converted"),
        (
            "segment --model fcn_resnet50 --output-stride 16 --crop 24 32",
            "stride of fcn_resnet50 must be one of (8,), got 16",
        ),
        (
            "segment --deconv True --pretrained-backbone True --crop 24 32",
            "pretrained weights are of a backbone with batch norm",
        ),
        ("predict RUN", "IMAGE"),
    ],
)
def test_senseless_lines_are_refused(line, message, root, capsys):
    if line.startswith("segment") and "--data-dir" not in line:
        line += f" --data-dir {root} --dataset camvid" if "--dataset" not in line else f" --data-dir {root}"
    code, text = refused(line, capsys)
    assert code == 2
    assert message in text


def test_what_is_wrong_with_files_is_one_line(tmp_path, capsys):
    small_scenes.camvid(tmp_path)
    small_scenes.save(tmp_path / "camvid/valannot/val_02.png", np.full((24, 32), 40, np.uint8))
    code, text = refused(f"segment {SMALL} --data-dir {tmp_path} --result-path {tmp_path / 'run'}", capsys)
    assert code == 1
    assert "valannot/val_02.png holds label ids that the data set does not have: 40" in text
    assert not (tmp_path / "run").exists()


def test_predict_refuses_what_it_cannot_read(finished, root, tmp_path, capsys):
    image = root / "camvid/test/test_00.png"
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "test_00.png").write_bytes(image.read_bytes())
    out = f"--output {tmp_path / 'out'}"
    assert "broken.png cannot be decoded" in refused(f"predict {finished} {tmp_path / 'broken.png'} {out}", capsys)[1]
    assert (
        "several images are called test_00"
        in refused(f"predict {finished} {image} {tmp_path / 'test_00.png'} {out}", capsys)[1]
    )
    assert "holds no run" in refused(f"predict {tmp_path} {image} {out}", capsys)[1]
    assert not (tmp_path / "out").exists()


def test_an_exported_network_gives_the_classes_of_all_pixels(finished, tmp_path, capsys):
    settings = json.loads((finished / "config.json").read_text())
    settings["task"]["views"]["size"] = [16, 24]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    assert main(shlex.split(f"export {tmp_path} --formats program weights --threads 1")) == 0
    about = json.loads((tmp_path / "export/export.json").read_text())
    assert (about["input"]["shape"], about["classes"][0]) == (["batch", 3, 16, 24], "Sky")
    program = about["files"]["model.pt2"]
    assert program["same_top1"] == program["predictions"] == 5 * 16 * 24
    capsys.readouterr()
    assert main(shlex.split(f"evaluate {tmp_path} --threads 1")) == 0
    accuracy = capsys.readouterr().out.partition(" accuracy ")[2].partition(",")[0]
    assert program["accuracy_exported"] == pytest.approx(float(accuracy), abs=1e-3)


def test_resuming_keeps_the_settings(finished, tmp_path, capsys):
    assert main(["segment", "--resume", str(finished), "--msg", "False"]) == 0
    capsys.readouterr()
    code, text = refused(f"segment --resume {finished} --lr 3", capsys)
    assert (code, "optimizer.lr was 0.1, not 3.0" in text) == (2, True)
    code, text = refused(f"segment --resume {finished} --dataset cityscapes", capsys)
    assert (code, "data.dataset was 'camvid', not 'cityscapes'" in text) == (2, True)
    code, text = refused(f"segment --resume {finished} --size 16 16", capsys)
    assert (code, "task.views.size was None, not (16, 16)" in text) == (2, True)
    assert refused(f"segment --resume {tmp_path}", capsys)[0] == 1
