"""The options of ``netdeconv imagenet``: the original program's, the shared ones, and its own."""

from __future__ import annotations

from netdeconv.cli import options as tables
from netdeconv.cli.argparser import Option, Parser, switch, true_or_false

# The original program's own, and those of its options that have other defaults or further names here.
ORIGINAL: dict[str, Option] = {
    "-a --arch": Option("resnet18", "classification network of torchvision; with a d at the end: converted"),
    "-j --num-workers --workers": Option(
        32, "loader processes of this machine, at most one for each processor core; 0: none"
    ),
    "--epochs": Option(90, "passes over the training images"),
    "-b --batch-size": Option(256, "images in a batch, all processes together"),
    "--lr --learning-rate": Option(None, "learning rate; else 0.1, for vgg11 0.01", {"type": float}),
    "--wd --weight-decay": Option(1e-4, "weight decay"),
    "-p --print-freq": Option(10, "steps between lines of progress"),
    "--resume": Option("", "run directory, or checkpoint in it, to continue with its settings, or to evaluate"),
    "-e --evaluate": switch("evaluate the checkpoint that --resume names, or --pretrained weights; train nothing"),
    "--pretrained": switch("start with torchvision's weights, for 1000 classes and without --deconv"),
    "--test-run": Option(
        False,
        "True: only --test-iter steps of an epoch and batches of an evaluation",
        {"nargs": "?", "const": True, "type": true_or_false},
    ),
    "--test-iter": Option(500, "see --test-run"),
}
OURS: dict[str, Option] = {
    "--num-classes": Option(None, "classes of the folder; else as many as it has", {"type": int}),
    "--resize": Option(None, "shorter side of an image before an evaluation's crop; else 8/7 of it", {"type": int}),
}
_LEFT_OUT = {"--data-dir", "--no-verify", "--download"}


def parser() -> Parser:
    """Return the parser of ``netdeconv imagenet``."""
    built = Parser(
        prog="netdeconv imagenet",
        description="Train or evaluate a network of torchvision on ImageNet, or on folders laid out like it.",
    )
    built.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="folder with train/CLASS/IMAGE and val/CLASS/IMAGE, or with the batches of ImageNet at 16x16 or 32x32; "
        "else NETDECONV_DATA, else ./data",
    )
    taken = {flag for flags in ORIGINAL for flag in flags.split()} | _LEFT_OUT
    built.add_options({**ORIGINAL, **OURS})
    for table in (tables.STRUCTURE, tables.TRAINING, tables.WHITENING, tables.DATA, tables.MACHINE):
        built.add_options(tables.rest(table, taken, {}))
    return built
