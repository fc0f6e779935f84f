"""Figures of whitening show what it does: numbers are checked, not pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from PIL import Image
from torch import nn

import netdeconv as nd
from netdeconv import viz
from netdeconv.data.errors import CorruptImageError
from netdeconv.linalg import Eigen, NewtonSchulz
from netdeconv.lookup import UnknownNameError
from netdeconv.viz.layers import gain_curve, kurtosis
from netdeconv.viz.samples import centre_filters

EXACT = nd.Whitening(root=Eigen(), eps=1e-10, sampling_stride=1)


@pytest.fixture(autouse=True)
def _all_correlations(monkeypatch):
    """A share D / (n + D) of the correlations is left in by design; not here."""
    monkeypatch.setattr(nd.nn.InputStatistics, "_shrinkage", staticmethod(lambda size, rows: 0.0))


def sample_images(images, *, kernel, **settings):
    """What a first layer of such a kernel sees of images."""
    whitening = dataclasses.replace(EXACT, **settings)
    layer = nd.WhitenedConv2d(images.shape[1], 2, kernel, whitening=whitening, dtype=torch.float64)
    return viz.sample_layers(layer, images.double())[0]


def crops_of_photographs(number: int, size: int) -> torch.Tensor:
    """Square parts of the photographs, the same in every call, normalised: (number, 3, size, size)."""
    random = np.random.default_rng(0)
    whole = list(viz.photographs().values())
    crops = []
    for index in range(number):
        photo = whole[index % len(whole)][:, ::2, ::2]
        top, left = (int(random.integers(0, length - size + 1)) for length in photo.shape[1:])
        crops.append(photo[:, top : top + size, left : left + size])
    batch = torch.stack(crops)
    return (batch - batch.mean((0, 2, 3), keepdim=True)) / batch.std((0, 2, 3), keepdim=True)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return nn.Sequential(
        nd.WhitenedConv2d(3, 8, 3, whitening=EXACT), nn.ReLU(), nn.Flatten(), nd.WhitenedLinear(8 * 196, 4)
    )


@pytest.fixture
def batch():
    return crops_of_photographs(32, 16)


def test_a_sample_is_what_the_layer_whitens(model, batch):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first, last = viz.sample_layers(model, batch)
    assert (first.name, last.name, first.kernel, first.channels) == ("0", "3", (3, 3), 3)
    rows = model[0].sampled_rows(batch)[0].double()
    assert torch.equal(first.rows, rows[:: -(-len(rows) // 4000)])
    assert (first.covariances()[1] - torch.eye(27)).abs().max() < 0.5
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert model.training
    assert [each.name for each in viz.sample_layers(model, batch, ["3"])] == ["3"]


def test_a_matrix_that_is_not_symmetric_whitens_the_right_way_round(batch):
    scaled = batch * torch.tensor([100.0, 1.0, 0.1]).view(3, 1, 1) + 3
    layer = nd.WhitenedConv2d(3, 8, 3, whitening=dataclasses.replace(EXACT, standardize=True))
    (sample,) = viz.sample_layers(layer, scaled)
    assert (sample.matrix - sample.matrix.T).abs().max() > 1
    assert sample.whitened.mean(0).abs().max() < 0.2  # of a part of the rows
    assert (sample.covariances()[1] - torch.eye(27)).abs().max() < 0.5
    image = scaled[0].double()
    patches = nn.functional.unfold(image[None], 3)[0].view(3, 9, -1).transpose(0, 1).flatten(0, 1).T
    centres = ((patches - sample.mean) @ sample.matrix.T)[:, 12:15]
    np.testing.assert_allclose(viz.deconvolve(image, sample).flatten(1).T, centres, rtol=1e-9, atol=1e-9)


def test_a_layer_that_is_not_there_and_a_plain_network_are_named(model, batch):
    with pytest.raises(UnknownNameError, match=r"did you mean 'stem\.conv1'"):
        viz.sample_layers(nn.ModuleDict({"stem": nn.ModuleDict({"conv1": model[0]})}), batch, ["stem.conv"])
    with pytest.raises(ValueError, match="no whitened layer"):
        viz.sample_layers(nn.Linear(2, 2), batch)


def test_covariances_are_drawn_channel_by_channel(model, batch):
    sample = viz.sample_layers(model, batch)[0]
    figure = viz.covariances(sample)
    drawn = {axes.get_title(): axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()}
    by_channel = model[0].sampled_rows(batch)[0].double().view(-1, 9, 3).transpose(1, 2).flatten(1)
    expected = np.cov(by_channel[:: -(-len(by_channel) // 4000)].T.numpy(), bias=True)
    np.testing.assert_allclose(drawn["covariance before"], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.diag(drawn["correlation after"]), 1, rtol=1e-9)
    np.testing.assert_allclose(
        drawn["correlation before"], np.corrcoef(by_channel[:: -(-len(by_channel) // 4000)].T.numpy()), atol=1e-9
    )


def test_a_deconvolved_image_has_white_pixels(batch):
    photo = viz.photographs()["china"][:, ::3, ::3]
    sample = sample_images(photo[None], kernel=3, root=Eigen(), eps=1e-12)
    white = viz.deconvolve(photo, sample)
    assert white.shape == (3, photo.shape[1] - 2, photo.shape[2] - 2)
    pixels = white.flatten(1)
    assert torch.allclose(torch.cov(pixels, correction=0), torch.eye(3, dtype=torch.float64), atol=1e-3)
    assert pixels.mean(1).abs().max() < 1e-3
    # neighbours, too: that is what whitening channels alone does not do
    beside = (white[:, :, 1:] * white[:, :, :-1]).mean((1, 2))
    assert beside.abs().max() < 0.02
    first, absolute, after, sparse = (axes.get_images()[0].get_array() for axes in viz.images(photo, sample).axes)
    assert first.shape == (*photo.shape[1:], 3)
    assert after.shape == (*white.shape[1:], 3)
    assert sparse.mean() < absolute.mean()  # most of the image is dark after whitening
    with pytest.raises(ValueError, match="whitens patches"):
        viz.deconvolve(photo[:1], sample)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("grey", [True, False])
def test_whitening_filters_of_photographs_have_a_centre_and_a_surround(kernel, grey):
    images = crops_of_photographs(40, 32)
    images = images.mean(1, keepdim=True) if grey else images
    sample = sample_images(images, kernel=kernel, root=NewtonSchulz(15))
    own = centre_filters(sample).diagonal(dim1=0, dim2=1).permute(2, 0, 1)  # each channel's filter of itself
    middle = kernel // 2
    centre = own[:, middle, middle]
    surround = own.sum((1, 2)) - centre
    neighbours = torch.stack([own[:, middle - 1, middle], own[:, middle, middle + 1], own[:, middle, middle - 1]])
    assert (centre > 0).all()
    assert (surround < 0).all()
    assert (neighbours < 0).all()
    assert (centre > 3 * neighbours.abs()).all()
    if kernel > 3:  # the surround fades outwards
        assert (own[:, 0, 0].abs() < neighbours.abs().max(0).values).all()


def test_filters_are_drawn_by_channel_and_in_colour(batch):
    sample = sample_images(batch, kernel=5, root=NewtonSchulz(15))
    axes = [axes for axes in viz.whitening_filters(sample).axes if axes.get_images()]
    assert len(axes) == 12
    np.testing.assert_array_equal(axes[1].get_images()[0].get_array(), centre_filters(sample)[0, 1])
    assert axes[3].get_images()[0].get_array().shape == (5, 5, 3)
    with pytest.raises(ValueError, match="whitens no patches"):
        viz.whitening_filters(sample_images(batch, kernel=1, root=NewtonSchulz(5)))


@pytest.mark.parametrize(("share", "steps", "left"), [(1e-2, 5, 0.659), (1e-4, 10, 0.529), (1e-1, 3, 0.829)])
def test_the_gain_curve_is_that_of_the_method(share, steps, left):
    assert float(gain_curve(NewtonSchulz(steps), torch.tensor([share]))) == pytest.approx(left, abs=1e-3)


def test_spectra_ranks_and_sparsity_show_the_layers(model, batch):
    samples = viz.sample_layers(model, batch)
    before, _ = samples[0].covariances()
    left, middle, right = viz.spectra(samples).axes
    values = torch.linalg.eigvalsh(before).flip(0)
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), values / values[0], rtol=1e-6, atol=1e-12)
    assert [text.get_text() for text in middle.texts] == ["3", "0"] or {t.get_text() for t in middle.texts} == {
        "0",
        "3",
    }
    assert "Eigen" in right.get_title()
    upper, lower = viz.ranks(samples).axes
    expected = 100 * float(values.sum() ** 2 / values.square().sum()) / 27
    assert upper.get_lines()[0].get_ydata()[0] == pytest.approx(expected)
    assert upper.get_lines()[1].get_ydata()[0] > 2 * expected
    assert lower.get_lines()[0].get_ydata()[0] == pytest.approx(float(values[0] / values[-1]), rel=1e-4)
    assert [label.get_text() for label in lower.get_xticklabels()] == ["0", "3"]
    histogram, over_layers = viz.sparsity(samples).axes
    assert histogram.get_yscale() == "log"
    assert over_layers.get_lines()[0].get_ydata()[0] == pytest.approx(kurtosis(samples[0].rows))
    assert over_layers.get_lines()[1].get_ydata()[0] > over_layers.get_lines()[0].get_ydata()[0]  # sparser


def test_kurtosis_is_that_of_known_distributions():
    torch.manual_seed(0)
    normal = torch.randn(200_000, 2).double()
    assert kurtosis(normal) == pytest.approx(0, abs=0.1)
    assert kurtosis(torch.sign(normal)) == pytest.approx(-2, abs=0.01)
    assert kurtosis(torch.cat([normal, torch.ones(200_000, 1)], 1)) == pytest.approx(0, abs=0.1)


def test_weights_are_drawn_as_they_are_and_as_they_are_used(model, batch):
    model.requires_grad_(False)(batch)
    plain, used = viz.weight_norms(model).axes[0].get_lines()
    assert plain.get_ydata()[0] == pytest.approx(float(model[0].weight.square().mean().sqrt()))
    assert used.get_ydata()[0] == pytest.approx(float(model[0].folded_weight_and_bias()[0].square().mean().sqrt()))
    with pytest.raises(ValueError, match="no convolutions"):
        viz.weight_norms(nn.ReLU())


def test_memory_counts_what_backward_needs():
    layer = nn.Sequential(nn.Linear(8, 4, bias=False), nn.ReLU())
    amounts = viz.training_memory(layer, torch.randn(16, 8))
    # kept: the input of the linear layer and the output of the ReLU
    assert amounts == {
        "weights and gradients": 2 * 128.0,
        "statistics": 0.0,
        "kept for backward": 4.0 * (16 * 8 + 16 * 4),
    }
    bars = viz.memory({"mine": amounts, "other": {"statistics": 2.0**20}}).axes[0].patches
    assert [bar.get_width() for bar in bars][:2] == [256 / 2**20, 0]
    with pytest.raises(ValueError, match="no amounts"):
        viz.memory({})


def test_the_style_is_the_figures_own_and_files_are_svg_and_png(tmp_path, model):
    before = dict(rcParams)
    files = viz.save(viz.weight_norms(model), tmp_path / "new" / "norms")
    assert [file.name for file in files] == ["norms.svg", "norms.png"]
    assert files[0].read_text().lstrip().startswith("<?xml")
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert dict(rcParams) == before


def test_images_are_read_and_large_ones_made_smaller(tmp_path):
    Image.fromarray(np.arange(0, 240, dtype=np.uint8).reshape(12, 20)).save(tmp_path / "grey.png")
    image = viz.read_image(tmp_path / "grey.png")
    assert image.shape == (3, 12, 20)
    assert image[:, 0, 0].max() == 0
    assert image[:, -1, -1].min() == 239 / 255
    Image.new("RGB", (2000, 1000)).save(tmp_path / "large.png")
    assert viz.read_image(tmp_path / "large.png").shape == (3, 320, 640)


def test_files_that_are_no_image_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(CorruptImageError, match=r"text\.png cannot be decoded \(cannot identify image file"):
        viz.read_image(tmp_path / "text.png")
    Image.new("RGB", (4, 100)).save(tmp_path / "narrow.png")
    with pytest.raises(ValueError, match=r"narrow\.png has 4 x 100 pixels: at least 8 x 8"):
        viz.read_image(tmp_path / "narrow.png")
    Image.new("RGB", (8, 2000)).save(tmp_path / "tall.png")
    with pytest.raises(ValueError, match="has 3 x 640 pixels"):
        viz.read_image(tmp_path / "tall.png")
