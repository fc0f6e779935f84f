"""The options, as tables: the original program's keywords with their defaults, then ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, get_args

from netdeconv.cli.argparser import Option, switch, true_or_false
from netdeconv.data import Decoder
from netdeconv.models import NORMALISATIONS
from netdeconv.nn.whitening import Structure
from netdeconv.training.config import Precision, StrategyName

# Unchecked here (no argparse choices): the tables of names make the better error.
NETWORK: dict[str, Option] = {
    "--arch": Option("vgg11", "network, see `netdeconv list archs`"),
    "--width": Option(1.0, "factor on the channels of every layer"),
}
TRAINING: dict[str, Option] = {
    "--epochs": Option(20, "passes over the training images"),
    "--batch-size": Option(128, "images in a batch"),
    "--lr": Option(0.1, "learning rate"),
    "--optimizer": Option("SGD", "SGD, Adam, AMSGrad, AdamW, RMSprop or Muon (with AdamW for what is no matrix)"),
    "--lr-scheduler": Option("cosine", "cosine, multistep, one-cycle, poly or constant; set at every step"),
    "--warmup-epochs": Option(0.0, "raise the learning rate linearly for so many epochs, before the schedule starts"),
    "--clip-norm": Option(None, "scale gradients down to this norm of all together", {"type": float}),
    "--momentum": Option(0.9, "of SGD and RMSprop, first beta of the Adams"),
    "--wd": Option(1e-3, "weight decay"),
    "--loss": Option("CE", "CE, cross entropy, or L2, squared error against one-hot targets"),
    "--label-smoothing": Option(0.0, "share of every training target that is spread over all classes"),
    "--mixup": Option(0.0, "parameter of the Beta distribution that two mixed training images' shares are drawn from"),
    "--accumulation": Option(1, "cut every batch into so many parts, each whitened by itself, with one update"),
    "--averaging": Option(0.0, "evaluate an exponential average of the weights with this decay; 0: the weights"),
    "--keep-best": switch("keep the network of the best epoch on validation images in best.pt"),
    "--seed": Option(0, "of weights, order and augmentation"),
}
# Each of them changes what the normalisation's name says; not given, it is as the name says.
WHITENING: dict[str, Option] = {
    "--block": Option(None, "channels that share one whitening block in convolutions", {"type": int}),
    "--block-fc": Option(None, "features that share one block in linear layers; 0 leaves them plain", {"type": int}),
    "--deconv-iter": Option(None, "Newton-Schulz steps, the first layer's excepted", {"type": int}),
    "--eps": Option(None, "added to the covariance's diagonal", {"type": float}),
    "--stride": Option(None, "take a patch at every n-th position", {"type": int}),
    "--bias": Option(True, "whether whitened convolutions have a bias"),
    "--freeze": Option(None, "hold the first layer's whitening constant in 900 of 1000 steps", {"type": true_or_false}),
    "--rows-per-feature": Option(
        None, "sampled rows that are enough for each feature: fewer images are sampled", {"type": int}
    ),
}
STRUCTURE: dict[str, Option] = {
    "--norm": Option("", f"{', '.join(NORMALISATIONS)}; without it, --deconv and --batchnorm decide"),
    "--deconv": Option(False, "True: network deconvolution in place of batch norm, --norm default"),
    "--batchnorm": Option(True, "False, without --deconv: no normalisation at all"),
    "--delinear": Option(True, "with --deconv, whiten linear layers too; False leaves them plain"),
    "--published": Option(False, "whiten only what the published experiments did (efficientnet_b0: stem and head)"),
    "--structure": Option(
        None, "what one whitening matrix covers, stem excepted", {"choices": get_args(Structure), "type": str}
    ),
    "--stem": Option(None, "False: the first convolution is whitened as the others", {"type": true_or_false}),
}
DATA: dict[str, Option] = {
    "--data-dir": Option(None, "folder of the data sets; else NETDECONV_DATA, else ./data", {"type": str}),
    "--download": switch("fetch the data set when it is absent"),
    "--no-verify": switch("accept CIFAR files whose md5 is not the published one (re-encoded copies)"),
    "--validation-size": Option(
        0, "evaluate on this many images cut from the training set, and leave the test set alone"
    ),
    "--train-size": Option(None, "train on this many images only, every class in proportion", {"type": int}),
    "--no-augment": switch("leave the training images as they are"),
    "--cutout": Option(0, "side of a square that is hidden in every training image"),
    "--image-size": Option(None, "height and width that image files are brought to; else the set's own", {"type": int}),
    "--skip-corrupt": switch("leave out image files that cannot be decoded, and say which"),
    "--decode": Option(
        "workers",
        "where image files are decoded: by loader processes or with the network",
        {"choices": get_args(Decoder)},
    ),
    "--num-workers": Option(0, "loader processes for image files; small images are in memory and need none"),
}
MACHINE: dict[str, Option] = {
    "--precision": Option("auto", "auto: bfloat16 where it is fast", {"choices": get_args(Precision)}),
    "--device": Option("auto", "where to compute", {"choices": ("auto", "cpu", "cuda")}),
    "--devices": Option(None, "processes on this machine; torchrun's when that starts them, else 1", {"type": int}),
    "--nodes": Option(None, "machines; torchrun's when that starts them, else 1", {"type": int}),
    "--strategy": Option(
        "auto", "ddp: every process holds the network; fsdp: it is sharded", {"choices": get_args(StrategyName)}
    ),
    "--sync-statistics": switch("whiten with the statistics of all processes' images"),
    "--threads": Option(None, "processor threads; else torch's choice", {"type": int}),
    "--msg": Option(True, "show progress"),
    "--recalibration": Option(16, "training batches that statistics are taken from before an evaluation; 0: none"),
    "--evaluate-all-statistics": switch("evaluate also on the running statistics, and on each batch's own"),
    "--check-finite": switch("look for NaN and infinity before every whitened layer, and name the first (slow)"),
    "--loggers": Option(
        ("csv", "tensorboard"), "note every epoch with csv, tensorboard, wandb", {"nargs": "+", "type": str}
    ),
    "--result-path": Option(None, "run directory; else a new one in runs", {"type": str}),
}


def rest(table: Mapping[str, Option], taken: Collection[str], defaults: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options of a table without some flags, and with other defaults."""
    return {
        flag: dataclasses.replace(option, default=defaults.get(flag, option.default))
        for flag, option in table.items()
        if flag not in taken
    }


def dataset(default: str) -> dict[str, Option]:
    """Return the option that names the data set."""
    return {"--dataset": Option(default, "see `netdeconv list datasets`")}
