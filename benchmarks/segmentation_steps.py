"""Training steps of the segmentation table, interleaved: ``python -m benchmarks.segmentation_steps``.

The networks, losses and batches of ``benchmarks.segmentation final``, on random images and masks: what a step costs
against batch norm's, when nothing else runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import environment, tables
from benchmarks.segmentation import VARIANTS, base_config
from benchmarks.steps import TrainingStep
from benchmarks.timing import columns, interleave
from netdeconv.data.segmentation import segmentation_info
from netdeconv.models import NormConfig
from netdeconv.training import TrainingConfig

BATCH_NORM = "batch_norm"


class SegmentationStep(TrainingStep):
    """A step with the task's loss.

    Args:
        config: of the run.
        images: of one batch.
        masks: of one batch.
    """

    def __init__(self, config: TrainingConfig, images: Tensor, masks: Tensor) -> None:
        self.task = config.task
        network = self.task.build_network(config.network, segmentation_info(config.data.dataset))
        super().__init__(network, images, masks, dtype="bfloat16")

    def forward(self) -> Tensor:
        """The loss."""
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.model(self.images)
        return self.task.compute_loss(outputs, self.labels)


def measure(rounds: int, threads: int | None, command: str) -> dict[str, Any]:
    """Time the steps of all variants; return the table."""
    begun = time.perf_counter()
    device = environment.prepare("cpu", threads)
    config = base_config(1)
    height, width = config.task.views.size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(config.data.batch_size, 3, height, width, generator=generator)
    masks = torch.randint(
        segmentation_info(config.data.dataset).num_classes, (len(images), height, width), generator=generator
    )
    steps = {}
    for name in VARIANTS:
        torch.manual_seed(0)
        network = dataclasses.replace(config.network, norm=NormConfig(name=name))
        own = TrainingConfig(task=config.task, data=config.data, network=network)
        steps[name] = SegmentationStep(own, images.to(memory_format=torch.channels_last), masks)
    samples = interleave(steps, rounds=rounds, warmup=2, repeat=1, seed=0)
    rows = [
        {
            "variant": name,
            **columns("seconds", samples.seconds[name]),
            **columns("to batch norm", samples.ratios(name, BATCH_NORM)),
        }
        for name in steps
    ]
    return tables.build(
        "Segmentation step: FCN on ResNet-18, output stride 16, 240x180, batch 8, bfloat16, cpu",
        command=command,
        config={"rounds": rounds, "batch_size": len(images), "size": [height, width], "arch": config.network.arch},
        seed=0,
        device=device,
        begun=begun,
        rows=rows,
        note="Medians of interleaved steps on random images.",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation_steps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--output", type=Path, default=tables.FOLDER / "segmentation-step-fcn_resnet18-bfloat16-cpu.json"
    )
    options = parser.parse_args(given)
    table = measure(options.rounds, options.threads, environment.command("segmentation_steps", given))
    tables.show(table)
    tables.write(table, options.output)


if __name__ == "__main__":
    main()
