"""Reading a range test: known curves with noise give back their descent and divergence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netdeconv.experiments.rate_curve import noise, read_curve, running_median, smooth

RATES = np.geomspace(1e-5, 10, 120)
TENTH_DECADE = 10**0.1


def curve(steepest: float, best: float, divergence: float | None, *, drop: float = 0.0) -> np.ndarray:
    """A loss that falls by 1 around ``steepest``, is flat at ``best``, and is above its start from ``divergence``."""
    x = np.log10(RATES)
    loss = 2.3 - 1 / (1 + np.exp(-6 * (x - math.log10(steepest))))
    loss += drop / (1 + np.exp(8 * (x - math.log10(1e-4))))
    if divergence is not None:
        loss += 10 ** (6 * (x - math.log10(divergence)))
    assert best > steepest
    return loss


def passes(loss: np.ndarray, scale: float = 0.05, count: int = 3) -> np.ndarray:
    return loss + scale * np.random.default_rng(1).standard_normal((count, len(loss)))


def test_where_nothing_diverges_the_steepest_descent_is_suggested():
    found = read_curve(RATES, passes(curve(0.1, 1, None)))
    assert found.divergence is None
    assert found.steepest == found.suggestion == pytest.approx(0.1, rel=TENTH_DECADE - 1)
    assert found.best > 0.5
    assert "falls fastest" in found.reason


def test_a_tenth_of_the_divergence_is_suggested_where_there_is_one():
    found = read_curve(RATES, passes(curve(1e-3, 0.03, 1.0)))
    assert found.divergence == pytest.approx(1.0, rel=TENTH_DECADE**1.5 - 1)
    assert found.suggestion == pytest.approx(found.divergence / 10)
    assert found.steepest == pytest.approx(1e-3, rel=TENTH_DECADE**1.5 - 1)
    assert "a tenth of the rate at which the loss diverges" in found.reason


def test_an_overconfident_start_does_not_mislead():
    """The steepest part is then at tiny rates, where nothing is learned."""
    found = read_curve(RATES, passes(curve(3e-3, 0.03, 0.3, drop=1.5)))
    assert found.steepest < 5e-4
    assert found.suggestion == pytest.approx(0.03, rel=TENTH_DECADE**2 - 1)


def test_the_suggestion_is_not_above_the_smallest_loss():
    x = np.log10(RATES)
    loss = np.where(x < -2, 2.3 - np.clip(x + 4, 0, 2) / 2, 1.3 + (x + 2) / 4)
    found = read_curve(RATES, passes(loss, 0.01))
    assert found.best == pytest.approx(1e-2, rel=TENTH_DECADE**2 - 1)
    assert found.divergence is None
    steep_end = read_curve(RATES, passes(np.where(x > 0.5, 5.0, loss), 0.01))
    assert steep_end.divergence == pytest.approx(10**0.5, rel=TENTH_DECADE**2 - 1)
    assert steep_end.suggestion == steep_end.best
    assert "smallest loss" in steep_end.reason


def test_passes_that_were_given_up_end_the_curve():
    losses = passes(curve(1e-3, 0.03, None))
    losses[:2, 100:] = np.inf
    losses[2, 80:] = np.inf
    found = read_curve(RATES, losses)
    assert len(found.losses) in range(98, 101)
    assert found.divergence == pytest.approx(RATES[100], rel=TENTH_DECADE**2 - 1)
    assert all(math.isfinite(loss) for loss in found.losses)


@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_noise_alone_suggests_nothing(scale):
    found = read_curve(RATES, passes(np.full(len(RATES), 2.3), scale))
    assert found.suggestion is None
    assert found.reason == "the loss falls at none of the rates"


def test_a_loss_that_only_rises_suggests_nothing():
    assert read_curve(RATES, passes(2.3 + RATES)).suggestion is None
    assert read_curve(RATES, np.full((3, len(RATES)), np.inf)).suggestion is None


def test_single_bad_batches_are_passed_over():
    loss = curve(0.1, 1, None)
    spoiled = passes(loss, 0)
    spoiled[:, ::7] += 3.0
    assert read_curve(RATES, spoiled).steepest == pytest.approx(0.1, rel=TENTH_DECADE - 1)


def test_smoothing_moves_nothing_and_keeps_straight_lines():
    line = np.linspace(3, 1, 50)
    assert smooth(line) == pytest.approx(line)
    step = np.where(np.arange(101) < 50, 1.0, 0.0) + np.where(np.arange(101) == 50, 0.5, 0)
    smoothed = smooth(step)
    assert smoothed + smoothed[::-1] == pytest.approx(np.ones(101))
    assert np.gradient(smoothed).argmin() == 50
    assert smooth(np.array([2.0])) == pytest.approx([2.0])


def test_the_running_median_ends_where_values_do():
    assert running_median(np.array([1.0, 9.0, 2.0, 3.0, 2.0, 2.0])) == pytest.approx([2, 3, 2, 2, 2, 2])
    ended = running_median(np.array([1.0, 1.0, 1.0, 1.0, np.inf, np.inf, np.inf]))
    assert len(ended) == 4


def test_noise_shrinks_with_what_is_averaged():
    scattered = np.random.default_rng(0).standard_normal((16, 1000))
    few, many = noise(scattered[:4], np.zeros(1000)), noise(scattered, np.zeros(1000))
    assert many == pytest.approx(few / 2, rel=0.1)
    # the median distance of normal noise from its mean is 0.67
    assert many == pytest.approx(0.674 / (16 * 30) ** 0.5, rel=0.05)
