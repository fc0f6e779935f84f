"""--norm and the original program's keywords for the same: what they mean together, and what they cannot."""

from __future__ import annotations

import shlex

import pytest

from netdeconv.cli import train
from netdeconv.models import NORMALISATIONS, NormConfig

PLAIN = NormConfig()


def norm(line: str) -> NormConfig:
    return train.options_of(shlex.split(line)).config.network.norm


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_a_norm_is_the_one_of_this_name(name):
    assert norm(f"--norm {name}") == NormConfig(name=name)


def test_options_of_the_whitening_reach_the_norm():
    found = norm("--norm paper --block 32 --eps 1e-3 --freeze False --block-fc 64")
    assert found == NormConfig(name="paper", group_size=32, eps=1e-3, freeze=False, linear_group_size=64)


def test_the_original_keywords():
    assert norm("") == norm("--deconv False") == norm("--batchnorm True") == PLAIN
    assert norm("--batchnorm False") == norm("--deconv False --batchnorm False") == NormConfig(name="none")
    assert norm("--deconv True") == norm("--norm default") == norm("--deconv True --batchnorm False")
    assert norm("--deconv True --delinear False") == norm("--deconv True --block-fc 0")
    assert norm("--deconv True --delinear False").settings().linear is None
    assert norm("--deconv True --delinear True") == NormConfig(name="default")
    assert norm("--deconv False --block-fc 0") == norm("--deconv False --delinear False") == PLAIN


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--norm batch_norm --deconv True", "--norm batch_norm and --deconv True contradict each other"),
        ("--norm paper --deconv False", "--norm paper and --deconv False contradict"),
        ("--norm group_norm --batchnorm True", "--norm group_norm and --batchnorm True contradict"),
        ("--norm batch_norm --batchnorm False", "--norm batch_norm and --batchnorm False contradict"),
        ("--deconv True --batchnorm True", "--deconv True and --batchnorm True contradict"),
        ("--delinear False --block-fc 512", "--delinear False and --block-fc 512 contradict"),
        ("--delinear True --block-fc 0", "--delinear True and --block-fc 0 contradict"),
        ("--norm ful --deconv True", "unknown norm 'ful'; did you mean 'full16'?"),
        # nothing of this may train batch norm in silence
        ("--structure channel", "structure say how to whiten, but the norm is batch_norm"),
        ("--block 32", "group_size say how to whiten"),
        ("--stride 2 --eps .1", "eps and sampling_stride say how to whiten"),
        ("--stem True", "stem say how to whiten"),
        ("--block-fc 512", "linear_group_size say how to whiten"),
        ("--delinear True", "--delinear True says how to whiten, but the norm is batch_norm"),
        ("--norm group_norm --deconv-iter 3", "num_iterations say how to whiten, but the norm is group_norm"),
    ],
)
def test_what_cannot_be_is_refused(line, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        norm(line)


@pytest.mark.parametrize(
    "line",
    [
        "--norm paper --deconv True --structure full",
        "--norm batch_norm --deconv False --batchnorm True",
        "--norm none --batchnorm False",
        "--norm channel --batchnorm False --deconv True",
        "--norm stem --deconv True",
    ],
)
def test_what_says_the_same_twice_is_taken(line):
    assert isinstance(norm(line), NormConfig)
