"""Several processes measure exactly what one measures."""

from __future__ import annotations

import json

import pytest
import torch

import segmentation_worker
import small_scenes


def test_two_processes_measure_what_one_measures(tmp_path):
    small_scenes.camvid(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = segmentation_worker.measure(str(tmp_path), (0, 1))
    finally:
        torch.set_num_threads(threads)
    torch.multiprocessing.spawn(segmentation_worker.main, (2, str(tmp_path)), nprocs=2)
    results = [json.loads((tmp_path / f"2-{rank}.json").read_text()) for rank in range(2)]
    for result in results:
        # counts of pixels: exactly; the loss is a sum in another order
        assert {**result, "loss": None} == {**alone, "loss": None}
        assert result["loss"] == pytest.approx(alone["loss"], rel=1e-12)
    assert 0 < alone["accuracy"] < 100
    assert len([value for value in alone["iou"] if value is not None]) > 2
