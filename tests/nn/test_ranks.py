"""Statistics over several processes equal those of one process with the whole batch."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch

import netdeconv.nn as nnd
import ranks_worker
from netdeconv.nn.ranks import Ranks

# Steps in float64 with other orders of summation: far below 1e-6, which is what is promised.
PROMISED = 1e-6
GROUPS = ranks_worker.GROUPS


@pytest.fixture(scope="module")
def ranks(forked, tmp_path_factory):
    """What every rank of each group found."""
    folder = tmp_path_factory.mktemp("ranks")
    done = forked(ranks_worker.main, folder)
    assert done.returncode == 0, done.stderr
    return {
        group: [torch.load(folder / f"{group} {rank}.pt") for rank in range(len(sizes))]
        for group, sizes in GROUPS.items()
    }


@functools.cache
def alone(name):
    return ranks_worker.alone(name, 8)


def assert_promised(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=PROMISED, atol=PROMISED)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", ranks_worker.SETTINGS)
def test_losses_gradients_and_buffers_are_those_of_one_process(name, group, ranks):
    for found in ranks[group]:
        assert_promised(found[name, False], alone(name))


def test_under_distributed_data_parallel(ranks):
    for found in ranks["2 ranks"]:
        assert_promised(found["full", True], alone("full"))


def test_data_parallel_and_sharded_models_take_the_steps_of_a_plain_one(ranks):
    """Averages of equal gradients are the gradients; ``static_graph``, ``find_unused_parameters``, ``fully_shard``."""
    for found in ranks["2 ranks"]:
        results = found["tools"]
        assert results.keys() == {"plain", "static_graph", "find_unused_parameters", "sharded"}
        for losses in results.values():
            torch.testing.assert_close(losses, results["plain"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("group", GROUPS)
def test_one_row_on_all_ranks_together_is_refused_on_each(group, ranks):
    message = "at least two sampled rows on all ranks together, got 1"
    assert all(message in found["too few"] for found in ranks[group])


def test_without_a_process_group_nothing_changes():
    x = torch.randn(8, 3, 7, 7, dtype=torch.float64)
    model = ranks_worker.network(ranks_worker.SETTINGS["full"])
    other = nnd.sync_statistics(copy.deepcopy(model))
    assert torch.equal(model(x), other(x))


def test_a_model_without_whitened_layers_is_refused():
    with pytest.raises(ValueError, match="no whitened layer"):
        nnd.sync_statistics(torch.nn.Linear(2, 2))


def test_only_the_whole_of_all_ranks_is_pickled():
    layer = nnd.sync_statistics(nnd.WhitenedLinear(3, 2))
    assert pickle.loads(pickle.dumps(layer)).statistics.ranks is not None
    layer.statistics.ranks = Ranks(object())
    assert copy.deepcopy(layer).statistics.ranks is layer.statistics.ranks
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(layer)
