"""``netdeconv imagenet``: the original keywords, real runs on folders of tiny images, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import shlex
from pathlib import Path

import pytest

from image_folders import write_folder, write_part
from netdeconv.cli import imagenet, main
from netdeconv.models import NormConfig
from netdeconv.tasks import TASKS
from netdeconv.training.checkpoint import load_checkpoint
from netdeconv.training.plain import from_plain
from netdeconv.training.run_directory import read_config
from netdeconv.training.update import Update
from small_runs import numbers

SMALL = (
    "--loggers csv -a squeezenet1_1 -j 0 -b 8 --image-size 32 --lr 0.01 --threads 1 --device cpu --precision 32-true"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("_no_drawing"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"), train=8, val=3)


def settings(line: str):
    return imagenet.options_of(shlex.split(line)).config


def done(line: str, capsys) -> str:
    assert main(["imagenet", *shlex.split(line)]) == 0
    return capsys.readouterr().out


def refused(line: str, capsys) -> tuple[int, str]:
    code = main(["imagenet", *shlex.split(line)])
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return code, error


def history(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_the_line_of_the_original_readme_has_the_published_settings(root):
    config = settings(f"-a resnet18 -j 32 {root} --deconv True")
    assert (config.network.arch, config.epochs, config.seed) == ("imagenet/resnet18", 90, 0)
    data = config.data
    assert (data.dataset, data.data_dir, data.batch_size, data.num_workers) == ("imagenet", str(root), 256, 32)
    assert (data.image_size, data.max_batches, data.augment) == (None, None, True)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay, optimizer.momentum) == ("SGD", 0.1, 1e-4, 0.9)
    assert optimizer.schedule == "cosine"
    network = config.network
    assert network.norm == NormConfig(name="default")


def test_without_deconv_nothing_is_whitened(root):
    assert settings(f"{root}").network.norm == NormConfig()


@pytest.mark.parametrize(
    ("arch", "name", "converted", "rate"),
    [
        ("vgg11", "vgg11", False, 0.01),
        ("vgg11d", "vgg11", True, 0.01),
        ("densenet121d", "densenet121", True, 0.1),
        ("resnet50", "resnet50", False, 0.1),
    ],
)
def test_names_say_what_is_converted_and_bring_their_learning_rate(root, arch, name, converted, rate):
    config = settings(f"-a {arch} {root}")
    assert config.network.arch == f"imagenet/{name}"
    assert config.network.norm.whitens == converted
    assert config.optimizer.lr == rate
    assert settings(f"-a {arch} {root} --lr 0.3").optimizer.lr == 0.3


def test_options_arrive_under_all_their_names(root):
    config = settings(
        f"--arch resnet18d --workers 3 --epochs 7 --batch-size 12 --learning-rate 0.2 "
        f"--lr-scheduler multistep --weight-decay 0.01 --seed 5 --block 16 --block-fc 8 --deconv-iter 4 --eps 1e-4 "
        f"--stride 2 --bias False --structure full --max-batches 6 --image-size 32 "
        f"--no-augment --validation-size 3 --train-size 6 {root}"
    )
    assert (config.epochs, config.seed) == (7, 5)
    optimizer = config.optimizer
    assert (optimizer.lr, optimizer.schedule, optimizer.weight_decay) == (0.2, "multistep", 0.01)
    assert config.network.norm == NormConfig(
        name="default", group_size=16, linear_group_size=8, num_iterations=4, eps=1e-4, sampling_stride=2,
        bias=False, structure="full",
    )  # fmt: skip
    data = config.data
    assert (data.num_workers, data.batch_size, data.max_batches) == (3, 12, 6)
    assert data.image_size == 32
    assert not data.augment
    assert (data.validation_size, data.train_size) == (3, 6)
    assert settings(f"{root} -e").data.max_batches is None
    assert settings(f"{root} --pretrained").network.pretrained


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("{root} -a resnet19", 2, "unknown ImageNet network 'resnet19'; did you mean"),
        ("{root} -a resnet18d --deconv False", 2, "'resnet18d' means 'imagenet/resnet18' converted"),
        ("{root} --pretrained", 2, "the weights of 'resnet18' are for 1000 classes, not 3"),
        ("{root} --pretrained --deconv True", 2, "with batch norm, have pretrained weights"),
        ("{root} -e", 2, "--evaluate needs the run to evaluate"),
        ("{root} --eval", 2, "unknown option '--eval'; did you mean '--evaluate'?"),
        ("{root} -b 0", 2, "batch_size must be at least 1, got 0"),
        ("{root} --resume nothing", 1, "holds no run"),
        ("nowhere", 1, "was not found in"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(root, line, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, error = refused(line.format(root=root), capsys)
    assert message in error
    assert found == code
    assert not list(tmp_path.glob("runs/*"))


def test_a_run_is_evaluated_resumed_and_kept(root, capsys, tmp_path):
    path = tmp_path / "run"
    out = done(f"{SMALL} {root} --deconv True --epochs 2 -p 1 --result-path {path}", capsys)
    assert "epoch 1/2  step 2/3" in out
    last = history(path)[-1]
    assert f"test accuracy {last['accuracy']:.2f} %, loss {last['loss']:.4f} after 2 epochs" in out
    config = from_plain(read_config(path), TASKS)
    assert config.network.arch == "imagenet/squeezenet1_1"
    assert "features.0.statistics.running_whitening" in load_checkpoint(path / "checkpoint.pt")["model"]
    # Measured again, from its folder or its checkpoint, by the run's settings, or with what is asked for.
    measured = f"top-1 {last['accuracy']:.2f} %, loss {last['loss']:.4f}\n"
    assert done(f"-e --resume {path} --threads 1", capsys).endswith(measured)
    assert done(f"-e --resume {path / 'checkpoint.pt'} -b 2 {root} --threads 1", capsys).endswith(measured)
    assert "validation accuracy" in done(f"-e --resume {path} --validation-size 6 --threads 1", capsys)
    # Finished already: nothing is trained.
    before = (path / "metrics.jsonl").read_text()
    done(f"--resume {path} -j 1", capsys)
    assert (path / "metrics.jsonl").read_text() == before
    assert refused(f"--resume {path} --lr 0.5", capsys)[1].endswith("optimizer.lr was 0.01, not 0.5\n")


def test_many_classes_have_top5(tmp_path, capsys):
    classes = tuple(f"c{number:02}" for number in range(12))
    write_part(tmp_path / "train", 2, classes)
    write_part(tmp_path / "val", 1, classes)
    path = tmp_path / "run"
    out = done(f"{SMALL} {tmp_path} --epochs 1 --max-batches 1 --result-path {path}", capsys)
    last = history(path)[-1]
    assert last["steps"] == 1
    assert f"accuracy {last['accuracy']:.2f} %, accuracy top5 {last['accuracy_top5']:.2f} %" in out


# torch's handler of the signal raises once more when the iterator is taken apart, where nobody can catch it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_loader_process_ends_the_run_clearly_and_the_run_can_be_resumed(root, tmp_path, capsys, monkeypatch):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    line = f"{SMALL} {root} --epochs 2 --msg False -j 1 --result-path"

    train = Update.__call__

    def kill_and_train(self, inputs, targets, rate):
        # In the midst of an epoch: an iterator that ends would swallow what torch's handler of the signal raises.
        if (killed / "checkpoint.pt").exists():
            for child in multiprocessing.active_children():
                child.kill()
        return train(self, inputs, targets, rate)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "__call__", kill_and_train)
        code, error = refused(f"{line} {killed}", capsys)
    assert code == 1
    assert "DataLoader worker" in error
    assert load_checkpoint(killed / "checkpoint.pt")["epoch"] == 1
    done(f"--resume {killed} --msg False", capsys)
    done(f"{line} {whole}", capsys)
    assert numbers(history(killed)) == numbers(history(whole))
