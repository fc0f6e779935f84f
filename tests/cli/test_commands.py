"""What is typed becomes the settings of a run; what makes no sense is one line and an exit code."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from command_lines import refused
from netdeconv.cli import train
from netdeconv.models import NormConfig

README = (
    "--lr .1 --optimizer SGD --arch vgg11 --epochs 20 --dataset cifar10 --batch-size 128 --msg True "
    "--deconv {} --block-fc {} --wd .001"
)


def settings(line: str):
    return train.options_of(shlex.split(line)).config


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
    code, error = refused(f"train --dataset cifar100 --data-dir {tmp_path}", capsys)
    assert code == 1
    assert str(tmp_path) in error
    assert "--download" in error
