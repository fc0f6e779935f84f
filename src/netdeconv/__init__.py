"""Network deconvolution: whiten what every layer sees instead of batch-normalising what it emits."""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from netdeconv.health import monitor
from netdeconv.linalg import inverse_sqrt
from netdeconv.nn import (
    ChannelWhitening,
    Freeze,
    WhitenedConv1d,
    WhitenedConv2d,
    WhitenedConv3d,
    WhitenedConvTranspose1d,
    WhitenedConvTranspose2d,
    WhitenedConvTranspose3d,
    WhitenedLinear,
    Whitening,
    sync_statistics,
)
from netdeconv.surgery import convert, describe, fold, recalibrate

try:
    __version__ = _version("netdeconv")
except _PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "ChannelWhitening",
    "Freeze",
    "WhitenedConv1d",
    "WhitenedConv2d",
    "WhitenedConv3d",
    "WhitenedConvTranspose1d",
    "WhitenedConvTranspose2d",
    "WhitenedConvTranspose3d",
    "WhitenedLinear",
    "Whitening",
    "__version__",
    "convert",
    "describe",
    "fold",
    "inverse_sqrt",
    "monitor",
    "recalibrate",
    "sync_statistics",
]
