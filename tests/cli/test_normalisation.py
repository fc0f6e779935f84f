"""--norm and the original program's keywords for the same: what they mean together, and what they cannot."""

from __future__ import annotations

import shlex

import pytest

from netdeconv.cli import train
from netdeconv.cli.settings import training_config
from netdeconv.experiments import VARIANTS, WhiteningChoice
from netdeconv.nn import Freeze, Whitening
from netdeconv.training import NetworkConfig

PLAIN = NetworkConfig()
LINEAR = Whitening(group_size=512)


def network(line: str) -> NetworkConfig:
    return training_config(*train.parser().parse(shlex.split(line))).network


@pytest.mark.parametrize("name", VARIANTS)
def test_a_norm_is_the_variant_of_comparisons(name):
    assert network(f"--norm {name}") == VARIANTS[name].network(WhiteningChoice(), PLAIN)


def test_options_of_the_whitening_reach_the_norm():
    found = network("--norm full --block 32 --eps 1e-3 --freeze False --block-fc 64")
    assert found.whitening == Whitening(group_size=32, eps=1e-3)
    assert found.stem == Whitening(group_size=32, eps=1e-3, num_iterations=15)
    assert found.linear == Whitening(group_size=64, eps=1e-3)
    assert network("--norm stem").stem.freeze == Freeze()


def test_the_original_keywords():
    assert network("") == network("--deconv False") == network("--batchnorm True") == PLAIN
    assert network("--batchnorm False") == network("--deconv False --batchnorm False") == NetworkConfig(norm="none")
    assert network("--deconv True") == network("--norm full") == network("--deconv True --batchnorm False")
    assert network("--deconv True --delinear False").linear is False
    assert network("--deconv True --block-fc 0").linear is False
    assert network("--deconv True --delinear True").linear == LINEAR


def test_linear_layers_alone_as_in_the_original_when_they_are_asked_for():
    expected = NetworkConfig(whitening=False, linear=LINEAR)
    assert network("--deconv False --block-fc 512") == network("--delinear True") == expected
    assert network("--deconv False --block-fc 0") == network("--delinear False") == PLAIN
    assert network("--norm group_norm --block-fc 512") == NetworkConfig(
        whitening=False, linear=LINEAR, norm="group_norm"
    )


def test_what_is_typed_of_linear_layers_overrules_the_norm():
    assert network("--norm stem").linear is network("--norm stem_channel").linear is False
    assert network("--norm stem --block-fc 512").linear == LINEAR
    assert network("--norm full --delinear False").linear is False


def test_published():
    assert network("--deconv True --arch efficientnet_b0 --published True").published
    assert not network("--deconv True --arch efficientnet_b0").published


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--norm batch_norm --deconv True", "--norm batch_norm and --deconv True contradict each other"),
        ("--norm full --deconv False", "--norm full and --deconv False contradict"),
        ("--norm group_norm --batchnorm True", "--norm group_norm and --batchnorm True contradict"),
        ("--norm batch_norm --batchnorm False", "--norm batch_norm and --batchnorm False contradict"),
        ("--norm stem --batchnorm False", "--norm stem and --batchnorm False contradict"),
        ("--norm full --structure channel", "--norm full and --structure channel contradict"),
        ("--norm full16 --block 64", "--norm full16 and --block 64 contradict"),
        ("--norm stem --stem False", "--norm stem and --stem False contradict"),
        ("--deconv True --batchnorm True", "--deconv True and --batchnorm True contradict"),
        ("--delinear False --block-fc 512", "--delinear False and --block-fc 512 contradict"),
        ("--delinear True --block-fc 0", "--delinear True and --block-fc 0 contradict"),
        ("--published True", "--published says what is whitened: it needs --deconv True"),
        ("--norm iterative --deconv True", "unknown variant 'iterative'; did you mean 'iterative_norm'?"),
    ],
)
def test_contradictions_are_refused(line, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        network(line)


@pytest.mark.parametrize(
    "line",
    [
        "--norm full --deconv True --structure full",
        "--norm full16 --structure full --block 16",
        "--norm batch_norm --deconv False --batchnorm True",
        "--norm none --batchnorm False",
        "--norm channel --batchnorm False --deconv True",
        "--delinear True --block-fc 64",
        "--delinear False --block-fc 0",
    ],
)
def test_what_says_the_same_twice_is_taken(line):
    assert isinstance(network(line), NetworkConfig)
