"""From parsed options to the settings of a run."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from netdeconv import models
from netdeconv.cli.normalisation import norm_config
from netdeconv.data import DataConfig
from netdeconv.data import info as dataset_info
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, ParallelConfig, TrainingConfig
from netdeconv.training.task import Task


def base_config(options: argparse.Namespace) -> TrainingConfig:
    """Return the settings of a run with batch norm.

    Raises:
        ValueError: when a name is unknown, with the nearest one, or a number is out of range.
    """
    dataset_info(options.dataset)
    models.architecture(options.arch)
    task = Classification(loss=options.loss, label_smoothing=options.label_smoothing, mixup=options.mixup)
    return config_of(options, task)


def config_of(options: argparse.Namespace, task: Task) -> TrainingConfig:
    """Return the settings of a run of a task, with batch norm.

    Raises:
        ValueError: when a name is unknown, with the nearest one, or a number is out of range.
    """
    return TrainingConfig(
        task=task,
        data=DataConfig(
            dataset=options.dataset,
            data_dir=options.data_dir,
            download=options.download,
            verify=not options.no_verify,
            validation_size=options.validation_size,
            train_size=options.train_size,
            batch_size=options.batch_size,
            augment=not options.no_augment,
            cutout=options.cutout,
            image_size=options.image_size,
            num_workers=options.num_workers,
            decode=options.decode,
            skip_corrupt=options.skip_corrupt,
        ),
        network=NetworkConfig(arch=options.arch, width=options.width),
        optimizer=OptimizerConfig(
            name=options.optimizer,
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.wd,
            schedule=options.lr_scheduler,
            warmup=options.warmup_epochs / max(options.epochs, 1),
            clip_norm=options.clip_norm,
        ),
        epochs=options.epochs,
        seed=options.seed,
        accumulation=options.accumulation,
        averaging=options.averaging,
        keep_best=options.keep_best,
        **machine_settings(options),
    )


def machine_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a run that say where and how it computes, and what it notes."""
    return {
        "precision": options.precision,
        "device": options.device,
        "parallel": ParallelConfig(
            devices=options.devices,
            nodes=options.nodes,
            strategy=options.strategy,
            sync_statistics=options.sync_statistics,
        ),
        "threads": options.threads,
        "recalibration": options.recalibration,
        "evaluate_all_statistics": options.evaluate_all_statistics,
        "check_finite": options.check_finite,
        "loggers": tuple(options.loggers),
        "result_path": options.result_path,
    }


def training_config(options: argparse.Namespace, given: Collection[str] = ()) -> TrainingConfig:
    """Return the settings of ``netdeconv train``.

    Args:
        options: values of all options.
        given: names of those that were typed.

    Raises:
        ValueError: when a name is unknown, with the nearest one, a number is out of range, or options contradict
            each other.
    """
    config = base_config(options)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, norm=norm_config(options, given)))
