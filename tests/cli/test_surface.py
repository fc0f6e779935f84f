"""The options and their defaults are frozen: changing one means changing options.txt, knowingly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netdeconv.cli import (
    compare,
    evaluate,
    export,
    imagenet,
    listing,
    main,
    predict,
    report,
    reproduce,
    segment,
    sweep,
    train,
    visualize,
    watch,
)
from netdeconv.cli.main import COMMANDS
from netdeconv.cli.parser import flags

LIST = Path(__file__).with_name("options.txt")
OPTIONS = {
    "compare": compare.DEFAULT,
    "evaluate": evaluate.Options,
    "export": export.Options,
    "imagenet": imagenet.DEFAULT,
    "list": listing.Options,
    "predict": predict.Options,
    "report": report.Options,
    "reproduce": reproduce.DEFAULT,
    "segment": segment.DEFAULT,
    "sweep": sweep.DEFAULT,
    "train": train.DEFAULT,
    "visualize": visualize.Options,
    "watch": watch.Options,
}


def surface() -> list[str]:
    return [
        f"{name} {' '.join(each.names)} {each.default!r}"
        for name, own in OPTIONS.items()
        for each in flags(own)
        if each.names
    ]


def test_options_and_defaults_are_those_of_the_list():
    assert surface() == LIST.read_text(encoding="utf-8").splitlines()


ORIGINAL = {
    "--arch": "vgg11",
    "--wd": 1e-3,
    "--batch-size": 128,
    "--epochs": 20,
    "--dataset": "cifar10",
    "--lr": 0.1,
    "--block": None,  # as the norm says
    "--block-fc": None,  # as the norm says
    "--optimizer": "SGD",
    "--lr-scheduler": "cosine",
    "--momentum": 0.9,
    "--deconv-iter": None,  # as the norm says
    "--eps": None,  # as the norm says
    "--stride": None,  # as the norm says
    "--bias": True,
    "--freeze": None,  # as the norm says
    "--seed": 0,
    "--loss": "CE",
    "--resume": None,
    "--result-path": None,
    "--msg": True,
    "--num-workers": 0,
}


def test_the_original_keywords_have_the_published_defaults():
    found = {name: each.default for each in flags(train.DEFAULT) for name in each.names}
    assert {flag: found[flag] for flag in ORIGINAL} == ORIGINAL
    assert all(each.help for each in flags(train.DEFAULT))


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_printed(command, capsys):
    try:
        code = main([*command, "--help"])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: netdeconv")
    assert "``" not in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("netdeconv ")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def test_help_waits_for_nothing_that_trains_draws_or_searches():
    lines = [
        "import contextlib, sys",
        "from netdeconv.cli import main",
        f"for name in {[*COMMANDS]!r}:",
        "    with contextlib.suppress(SystemExit): main([name, '--help'])",
        "heavy = {'torch', 'torchvision', 'matplotlib', 'sklearn', 'optuna', 'plotly', 'lightning_fabric'}",
        "print(heavy & set(sys.modules) or False)",
    ]
    assert run("\n".join(lines)).endswith("False")


@pytest.mark.parametrize("line", ["train --help", "compare", "list archs"])
def test_without_the_extra_it_is_named_in_one_line(line):
    missing = "import sys; sys.modules['tyro'] = None; from netdeconv.cli import main; sys.exit(main({!r}))"
    said = run(missing.format(line.split()))
    assert said == (
        "netdeconv: the training program needs tyro, which is not installed: pip install 'netdeconv[train]'"
    )
