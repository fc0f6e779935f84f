"""A run that starts from another's weights: as they are, or converted so that outputs stay."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from netdeconv.data.splits import open_splits
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training.checkpoint import CheckpointError
from netdeconv.training.network import started_network
from netdeconv.training.run_directory import RunDirectoryError
from netdeconv.training.session import run
from small_runs import plain_config
from tolerances import assert_close

CPU = torch.device("cpu")
NORMS = {"batch_norm": NormConfig(), "default": NormConfig(name="default", linear_group_size=32)}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return run(plain_config(tmp_path_factory.mktemp("runs") / "before", epochs=1))


def config_from(pretrained, **network):
    config = plain_config(pretrained.path, start=str(pretrained.path))
    return dataclasses.replace(config, network=dataclasses.replace(config.network, **network))


@pytest.mark.parametrize("norm", NORMS)
def test_outputs_are_those_of_the_other_run(pretrained, norm):
    config = config_from(pretrained, norm=NORMS[norm])
    data = open_splits(config.data, seed=0, device=CPU)
    network = started_network(config, data, CPU).eval()
    images, _ = next(iter(data.evaluation))
    with torch.no_grad():
        # The inverse root of five steps magnifies what is rounded by at most 1.5^5; a layer sums 1024 pixels.
        expected = pretrained.model.eval()(images)
        assert_close(network(images), expected, condition=1.5**5, size=1024)


def test_a_head_of_another_size_is_drawn_anew(pretrained):
    config = config_from(pretrained)
    data = open_splits(config.data, seed=0, device=CPU)
    data = dataclasses.replace(data, info=dataclasses.replace(data.info, num_classes=7))
    own = started_network(config, data, CPU).state_dict()
    saved = pretrained.model.state_dict()
    assert [name for name in own if not own[name].equal(saved[name])] == [f"{list(own)[-1][:-5]}.weight", list(own)[-1]]
    assert len(own[list(own)[-1]]) == 7


def test_what_cannot_be_started_from_is_refused(pretrained, tmp_path):
    data = open_splits(plain_config(tmp_path).data, seed=0, device=CPU)
    with pytest.raises(CheckpointError, match="another network"):
        started_network(config_from(pretrained, width=0.5), data, CPU)
    whitened = plain_config(tmp_path / "whitened", epochs=1)
    whitened = dataclasses.replace(whitened, network=dataclasses.replace(whitened.network, norm=NORMS["default"]))
    run(whitened)
    with pytest.raises(RunDirectoryError, match="only one with batch norm"):
        started_network(dataclasses.replace(whitened, start=whitened.result_path), data, CPU)


def test_a_run_says_where_it_started(pretrained, tmp_path):
    config = dataclasses.replace(config_from(pretrained), result_path=str(tmp_path / "after"), epochs=1)
    data = dataclasses.replace(config.data, evaluation_size=50)
    config = dataclasses.replace(config, data=data, task=Classification())
    after = run(config)
    assert after.history[0]["loss"] < pretrained.history[0]["loss"]
    assert sum(len(labels) for _, labels in open_splits(data, seed=0, device=CPU).evaluation) == 50
