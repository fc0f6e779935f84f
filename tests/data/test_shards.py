"""Batches cut over processes: disjoint, equally many steps, together the batches of one process."""

from __future__ import annotations

import pytest
import torch

from netdeconv.data.shards import count_steps, local_batch_size, share


def test_a_batch_is_cut_into_equal_parts():
    assert [local_batch_size(24, (0, world)) for world in (1, 2, 3, 4)] == [24, 12, 8, 6]


@pytest.mark.parametrize(
    ("batch_size", "world", "message"),
    [
        (0, 1, "batch_size must be at least 1, got 0"),
        (3, 4, "a batch of 3 is smaller than the number of processes, 4.* at least 4"),
        (10, 4, "a batch of 10 cannot be cut into 4 equal parts.*8 and 12 can"),
    ],
)
def test_a_batch_that_cannot_be_cut_is_refused(batch_size, world, message):
    with pytest.raises(ValueError, match=message):
        local_batch_size(batch_size, (0, world))


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize(("samples", "steps"), [(48, 3), (55, 3), (56, 4), (64, 4), (8, 1), (5, 1)])
def test_all_processes_have_the_steps_of_one(samples, steps, world):
    assert count_steps(samples, 16, (0, world)) == steps


def test_fewer_images_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 training images are too few for 4 processes"):
        count_steps(3, 16, (0, 4))


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_parts_are_disjoint_equally_long_and_together_all_that_can_be_shared(world):
    drawn = torch.randperm(47)
    parts = [share(drawn, (rank, world)) for rank in range(world)]
    together = torch.cat(parts)
    assert len({len(part) for part in parts}) == 1
    assert sorted(together.tolist()) == sorted(drawn[: 47 // world * world].tolist())


def test_the_parts_of_a_batch_are_a_batch_of_one_process():
    drawn = torch.randperm(48)
    parts = [share(drawn, (rank, 3)) for rank in range(3)]
    for step in range(4):
        together = torch.cat([part[4 * step : 4 * step + 4] for part in parts])
        assert sorted(together.tolist()) == sorted(drawn[12 * step : 12 * step + 12].tolist())
