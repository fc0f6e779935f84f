"""What is exported computes what the model does, for batches of any size; what cannot be is refused with a remedy."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv import export
from netdeconv.export import ExportError
from tolerances import FOLDED_FLOAT32, assert_within

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

IMAGES = torch.Generator().manual_seed(3)
BATCHES = [torch.randn(count, 1, 12, 12, generator=IMAGES) for count in (16, 5, 1)]


@pytest.fixture(scope="module")
def model():
    """Whitened, with statistics of some steps; one transposed layer and one norm that stays."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
    network = nd.convert(network)
    for _ in range(3):
        network(BATCHES[0])
    return network.eval()


def outputs(model, batch):
    with torch.no_grad():
        return model(batch)


def test_onnx_computes_what_the_model_does(model, tmp_path):
    export.to_onnx(model, BATCHES[0], tmp_path / "model.onnx")
    run = export.run_onnx(tmp_path / "model.onnx", threads=1)
    for batch in BATCHES:
        assert_within(run(batch), outputs(model, batch), FOLDED_FLOAT32)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert model.training is False  # and still whitened: a copy was folded
    assert isinstance(model[0], nd.WhitenedConv2d)


def test_a_program_computes_what_the_model_does(model, tmp_path):
    export.to_program(model, BATCHES[2], tmp_path / "model.pt2")  # an example of one image is no constant
    run = torch.export.load(tmp_path / "model.pt2").module()
    for batch in BATCHES:
        assert_within(outputs(run, batch), outputs(model, batch), FOLDED_FLOAT32)


def test_safetensors_hold_the_folded_weights(model, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    export.to_safetensors(model, tmp_path / "model.safetensors")
    folded = nd.fold(model)
    safetensors.load_model(folded, tmp_path / "model.safetensors")  # strict: the same keys and shapes
    assert_within(outputs(folded, BATCHES[0]), outputs(model, BATCHES[0]), FOLDED_FLOAT32)


def test_agreement_counts(model):
    labels = [outputs(model, batch).argmax(1) for batch in BATCHES]

    def wrong_at_first(batch):
        scores = outputs(model, batch).clone()
        scores[0] = -scores[0]
        return scores

    found = export.agreement(model, wrong_at_first, zip(BATCHES, labels, strict=True))
    assert (found.predictions, found.same_top1) == (22, 19)
    assert (found.accuracy, found.accuracy_exported) == (100, 100 * 19 / 22)
    assert found.difference > 0.1
    labels[0][:11] = 255  # as masks have it; the first of the batch is among them
    found = export.agreement(model, wrong_at_first, zip(BATCHES, labels, strict=True))
    assert (found.predictions, found.same_top1) == (22, 19)
    assert (found.accuracy, found.accuracy_exported) == (100, 100 * 9 / 11)


def test_a_missing_operator_is_named_with_the_remedy(model, tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(ExportError, match=r"no operator for .*bessel_j0: replace .* custom_translation_table"):
        export.to_onnx(nn.Sequential(model, Odd()), BATCHES[0], tmp_path / "odd.onnx")


def test_a_forward_that_cannot_be_captured_is_refused_with_the_reason(model, tmp_path):
    class Fixed(nn.Module):
        def forward(self, x):
            return x.view(16, -1)

    with pytest.raises(ExportError, match=r"cannot capture .* batch of one size"):
        export.to_program(nn.Sequential(model, Fixed()), BATCHES[0], tmp_path / "fixed.pt2")
    assert not list(tmp_path.iterdir())


def test_a_layer_that_fold_leaves_is_named(model, tmp_path):
    class Mine(nd.WhitenedLinear):
        def forward(self, input):
            return super().forward(input).tanh()

    with pytest.raises(ExportError, match=r"'1' is still whitened.*plain layer"):
        export.to_safetensors(nn.Sequential(nd.WhitenedLinear(4, 4), Mine(4, 2)), tmp_path / "mine.safetensors")


def test_an_absent_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"onnxscript is not installed: pip install 'netdeconv\[export\]'"):
        export.to_onnx(model, BATCHES[0], tmp_path / "model.onnx")


def test_without_a_compiler_a_package_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExportError, match="no no-such-compiler: install one, or set CXX"):
        export.to_package(model, BATCHES[0], tmp_path / "model.pt2")


@pytest.mark.skipif("NETDECONV_SLOW" not in os.environ, reason="compiles for a minute: make examples runs it")
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_a_package_computes_what_the_model_does(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    batches = [torch.randn(count, 3, 8, 8, generator=IMAGES) for count in (16, 5, 1)]
    model = nd.convert(network)
    with torch.no_grad():
        model(batches[0])
    export.to_package(model.eval(), batches[0], tmp_path / "model.pt2")
    run = export.run_package(tmp_path / "model.pt2")
    for batch in batches:
        permuted = batch.contiguous(memory_format=torch.channels_last)  # as images come that were (N, H, W, C)
        for images in (batch, permuted):
            assert_within(run(images), outputs(model, images), FOLDED_FLOAT32)
