"""Statistics over several processes equal those of one process with the whole batch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import netdeconv.nn as nnd
import ranks_worker
from netdeconv.nn.ranks import Ranks

# Ten steps in float64 with other orders of summation: far below 1e-6, which is what is promised.
PROMISED = 1e-6


@pytest.fixture(params=[[4, 4], [5, 1, 0, 2]], ids=["2 ranks", "4 ranks, unequal and empty"], scope="module")
def ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(ranks_worker.main, (request.param, str(folder)), nprocs=len(request.param))
    results = [torch.load(folder / f"{rank}.pt") for rank in range(len(request.param))]
    messages = [(folder / f"{rank}.txt").read_text() for rank in range(len(request.param))]
    tools = [torch.load(folder / f"tools {rank}.pt") for rank in range(2)] if len(request.param) == 2 else []
    return results, messages, tools


@pytest.mark.parametrize("name", ranks_worker.SETTINGS)
def test_losses_gradients_and_buffers_are_those_of_one_process(name, ranks):
    expected = ranks_worker.alone(name, 8)
    for result in ranks[0]:
        for ours, theirs in zip(result[name, False], expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=PROMISED, atol=PROMISED)


def test_under_distributed_data_parallel(ranks):
    results = [result["full", True] for result in ranks[0] if ("full", True) in result]
    if not results:
        assert len(ranks[0]) == 4  # unequal batches: its average of gradients is not that of the whole batch
        return
    expected = ranks_worker.alone("full", 8)
    for result in results:
        for ours, theirs in zip(result, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=PROMISED, atol=PROMISED)


def test_data_parallel_and_sharded_models_take_the_steps_of_a_plain_one(ranks):
    """Averages of equal gradients are the gradients; ``static_graph``, ``find_unused_parameters``, ``fully_shard``."""
    for results in ranks[2]:
        assert results.keys() == {"plain", "static_graph", "find_unused_parameters", "sharded"}
        for found in results.values():
            torch.testing.assert_close(found, results["plain"], rtol=1e-4, atol=1e-6)


def test_one_row_on_all_ranks_together_is_refused_on_each(ranks):
    assert all("at least two sampled rows on all ranks together, got 1" in message for message in ranks[1])


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
