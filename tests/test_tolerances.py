"""The tolerance helpers refuse what they should."""

from __future__ import annotations

import math

import pytest
import torch

from tolerances import assert_close, assert_within, inverse_sqrt_condition, relative_error, tolerance


def test_tolerance_is_the_documented_product():
    assert tolerance(torch.float64, size=3, condition=5.0, c=2.0) == 30 * torch.finfo(torch.float64).eps


def test_condition_grows_with_the_spread_of_the_spectrum():
    assert inverse_sqrt_condition(torch.tensor([1.0, 1.0])) == 1.0
    assert inverse_sqrt_condition(torch.tensor([1.0, 100.0])) == 50.0


def test_relative_error_is_measured_against_the_largest_entry():
    assert relative_error(torch.tensor([10.0, 1.5]), torch.tensor([10.0, 1.0])) == pytest.approx(0.05)


def test_a_difference_above_the_bound_fails():
    with pytest.raises(AssertionError, match="is above"):
        assert_close(torch.tensor([1.0 + 1e-5]), torch.tensor([1.0]))
    with pytest.raises(AssertionError, match="is above"):
        assert_within(torch.tensor([math.nan]), torch.tensor([1.0]), 1.0)


def test_another_shape_fails():
    with pytest.raises(AssertionError, match="shape"):
        assert_close(torch.zeros(2), torch.zeros(2, 1))
