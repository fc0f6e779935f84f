"""Settings that experiments of one family share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from netdeconv import models
from netdeconv.data import DataConfig
from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig

PAPER_LR = 0.1
# How the tables of published numbers call a normalisation.
NORMS = {"batch_norm": "batch_norm", "paper": "full"}


def norm_config(norm: str, changes: Mapping[str, Any] | None = None) -> NormConfig:
    """Return a normalisation with changes, which say nothing of one that does not whiten."""
    return NormConfig(name=norm, **(changes or {} if NormConfig(name=norm).whitens else {}))


def cifar(
    arch: str,
    epochs: int,
    *,
    dataset: str = "cifar10",
    norm: str = "batch_norm",
    changes: Mapping[str, Any] | None = None,
    width: float = 1.0,
    batch_size: int = 128,
    lr: float = PAPER_LR,
    weight_decay: float = 1e-3,
) -> TrainingConfig:
    """Return a run on CIFAR with the settings of the published program where nothing else is said.

    SGD with momentum 0.9, learning rate 0.1, cosine decay at every step, batch 128, weight decay 1e-3, crop and flip.

    Args:
        arch: the network.
        epochs: passes over the training images.
        dataset: ``"cifar10"`` or ``"cifar100"``.
        norm: name of the normalisation.
        changes: settings of :class:`netdeconv.models.NormConfig`, of a normalisation that whitens.
        width: factor on the network's channels.
        batch_size: images in a batch.
        lr: learning rate.
        weight_decay: on all parameters.
    """
    network = NetworkConfig(arch=arch, width=width, norm=norm_config(norm, changes))
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset=dataset, batch_size=batch_size),
        network=network,
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=weight_decay, schedule="cosine"),
        epochs=epochs,
    )


def table1(dataset: str, epochs: int) -> dict[str, ExperimentRow]:
    """Return one column of the paper's table: ten networks, batch norm and network deconvolution.

    The published EfficientNet is whitened at its ends only; it has a row of its own, and the one that is whitened
    throughout has no expected number.
    """
    rows: dict[str, ExperimentRow] = {}
    for arch, pair in published.TABLE1[dataset, epochs].items():
        again = published.TABLE1_STUDY.get((dataset, epochs), {}).get(arch)
        for norm, field in NORMS.items():
            expected = {published.PAPER: getattr(pair, field)}
            if again is not None:
                expected[published.STUDY] = getattr(again, field)
            rows[f"{arch} {norm}"] = ExperimentRow(
                config=cifar(arch, epochs, dataset=dataset, norm=norm), expected=expected
            )
    throughout = rows["efficientnet_b0 paper"]
    rows["efficientnet_b0 paper, published"] = dataclasses.replace(throughout, config=as_published(throughout.config))
    rows["efficientnet_b0 paper"] = dataclasses.replace(throughout, expected={})
    return rows


def as_published(config: TrainingConfig) -> TrainingConfig:
    """Return the run with a network that is whitened where the published one was."""
    norm = dataclasses.replace(config.network.norm, published=True)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, norm=norm))


def early_table1(
    dataset: str, epochs: int, *, batch_size: int = 128, weight_decay: float = 1e-3
) -> dict[str, ExperimentRow]:
    """Return a half of the early version's table: three networks, full and channel deconvolution, batch norm.

    Its text recommends blocks of 16 channels for convolutions and 512 features for linear layers.
    """
    return {
        f"{arch} {norm}": ExperimentRow(
            config=cifar(
                arch,
                epochs,
                dataset=dataset,
                norm=norm,
                changes={"group_size": 16},
                batch_size=batch_size,
                weight_decay=weight_decay,
            ),
            expected={published.EARLY: getattr(three, field)},
        )
        for arch, three in published.EARLY_TABLE1[dataset].items()
        for norm, field in {**NORMS, "channel": "channel"}.items()
    }


def imagenet(
    name: str, norms: Mapping[str, str], *, lr: float = PAPER_LR, num_workers: int = 8
) -> dict[str, ExperimentRow]:
    """Return the rows of a network on ImageNet, with the settings of the published program: 90 epochs, batch 256.

    SGD with momentum 0.9, cosine decay at every step, weight decay 1e-4, blocks of 64 in all layers.

    Args:
        name: in the published numbers.
        norms: the normalisations, and torchvision's name of the network that each starts from.
        lr: learning rate.
        num_workers: processes that decode the images of one device.
    """
    return {
        norm: ExperimentRow(
            config=TrainingConfig(
                task=Classification(),
                data=DataConfig(dataset="imagenet", batch_size=256, num_workers=num_workers),
                network=NetworkConfig(
                    arch=f"{models.IMAGENET}{start}", norm=norm_config(norm, {"linear_group_size": 64})
                ),
                optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
                epochs=90,
            ),
            expected=published.IMAGENET[name][NORMS.get(norm, norm)],
        )
        for norm, start in norms.items()
    }
