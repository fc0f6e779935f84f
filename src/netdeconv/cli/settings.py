"""From parsed options to the settings of a run."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Literal

from netdeconv import models
from netdeconv.data import DataConfig
from netdeconv.data import info as dataset_info
from netdeconv.nn.whitening import Freeze, Whitening
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig


def training_config(options: argparse.Namespace) -> TrainingConfig:
    """Return the settings of one run.

    Raises:
        ValueError: when a name is unknown, with the nearest one, or a number is out of range.
    """
    return TrainingConfig(
        task=Classification(loss=options.loss),
        data=data_config(options),
        network=network_config(options),
        optimizer=OptimizerConfig(
            name=options.optimizer,
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.wd,
            schedule=options.lr_scheduler,
        ),
        epochs=options.epochs,
        seed=options.seed,
        precision=options.precision,
        device=options.device,
        threads=options.threads,
        evaluate_batch_statistics=options.evaluate_batch_statistics,
        check_finite=options.check_finite,
        result_path=options.result_path,
    )


def data_config(options: argparse.Namespace) -> DataConfig:
    """Return which images a run uses."""
    dataset_info(options.dataset)
    return DataConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        download=options.download,
        verify=not options.no_verify,
        validation_size=options.validation_size,
        batch_size=options.batch_size,
    )


def network_config(options: argparse.Namespace) -> NetworkConfig:
    """Return which network a run trains, and how it is converted."""
    models.architecture(options.arch)
    if not options.deconv:
        return NetworkConfig(arch=options.arch, width=options.width, bias=options.bias)
    whitening = whitening_of(options)
    return NetworkConfig(
        arch=options.arch,
        width=options.width,
        bias=options.bias,
        whitening=whitening,
        stem=stem_of(options, whitening) if options.stem else None,
        linear=linear_of(options, whitening),
    )


def whitening_of(options: argparse.Namespace) -> Whitening:
    """Return the settings of the convolutions."""
    return Whitening(
        structure=options.structure,
        group_size=options.block,
        num_iterations=options.deconv_iter,
        eps=options.eps,
        sampling_stride=options.stride,
        layout=options.layout,
    )


def stem_of(options: argparse.Namespace, whitening: Whitening) -> Whitening | None:
    """Return the settings of the first convolution: whole patches, as the network's entry says."""
    stem = models.architecture(options.arch).stem
    if stem is None:
        return None
    return dataclasses.replace(
        whitening,
        structure="full",
        num_iterations=stem.num_iterations,
        freeze=Freeze() if stem.freeze and options.freeze else None,
    )


def linear_of(options: argparse.Namespace, whitening: Whitening) -> Whitening | Literal[False]:
    """Return the settings of linear layers, which have one tap, so that all structures are the same."""
    if options.block_fc == 0:
        return False
    return dataclasses.replace(whitening, structure="full", group_size=options.block_fc)
