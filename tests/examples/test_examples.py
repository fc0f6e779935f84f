"""Every example runs and learns; one whose library is absent is skipped: `make examples` has them all."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# By example: the package that it is about, and the score that it reaches at least.
LEARNS = {
    "plain_torch": ("sklearn", 0.9),
    "checkpointing": ("sklearn", 0.9),
    "signal_1d": ("sklearn", 0.9),
    "volume_3d": ("sklearn", 0.6),
    "torchvision_reference": ("torchvision", 0.6),
    "lightning_callback": ("lightning", 0.9),
    "fastai_learner": ("fastai", 0.6),
    "timm_model": ("timm", 0.5),
    "huggingface_trainer": ("transformers", 0.8),
    "segmentation_models": ("segmentation_models_pytorch", 0.6),
}
# In `make test` the first of each kind is enough; the others take longer, or their packages are absent.
ALWAYS = ("plain_torch", "signal_1d")


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*LEARNS, "digits"}


@pytest.mark.filterwarnings("ignore")  # other libraries' own
@pytest.mark.parametrize("name", LEARNS)
def test_an_example_learns(name, monkeypatch, tmp_path):
    package, least = LEARNS[name]
    pytest.importorskip(package, reason="make examples installs it")
    if name not in ALWAYS and "NETDECONV_SLOW" not in os.environ:
        pytest.skip("make examples runs it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.manual_seed(0)
    assert importlib.import_module(name).main() >= least
