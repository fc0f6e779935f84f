"""The options and their defaults are frozen: changing one means changing options.txt, knowingly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netdeconv.cli.main import COMMANDS, command

LIST = Path(__file__).with_name("options.txt")
PARSERS = {name: command(name).parser for name in COMMANDS if hasattr(command(name), "parser")}


def surface() -> list[str]:
    return [
        f"{command} {' '.join(action.option_strings) or action.dest} {action.default!r}"
        for command, parser in PARSERS.items()
        for action in parser()._actions
        if action.dest != "help"
    ]


def test_options_and_defaults_are_those_of_the_list():
    assert surface() == LIST.read_text(encoding="utf-8").splitlines()


ORIGINAL = {
    "--deconv": False,
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
    "--resume": "",
    "--result-path": None,
    "--msg": True,
    "--num-workers": 0,
}


@pytest.mark.parametrize("flag", ORIGINAL)
def test_the_original_keywords_have_the_published_defaults(flag):
    actions = {name: action for action in PARSERS["train"]()._actions for name in action.option_strings}
    assert actions[flag].default == ORIGINAL[flag]
    assert actions[flag].help


@pytest.mark.parametrize("command", [[], ["train"], ["compare"], ["imagenet"], ["list"]])
def test_help_is_printed(command, capsys):
    from netdeconv.cli import main

    try:
        code = main([*command, "--help"])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 0
    assert "usage: netdeconv" in capsys.readouterr().out


def test_help_does_not_wait_for_what_trains():
    code = (
        "import sys; from netdeconv.cli import main; main(['--help']); "
        "print({'lightning_fabric', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules) or False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
