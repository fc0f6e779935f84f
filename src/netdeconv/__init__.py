"""Network deconvolution: whiten what every layer sees instead of batch-normalising what it emits."""

import typing as _typing
from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from netdeconv.lazy import lazy_names as _lazy_names

if _typing.TYPE_CHECKING:
    from netdeconv.health.monitor import monitor
    from netdeconv.linalg.inverse_sqrt import inverse_sqrt
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
    from netdeconv.surgery.convert import convert
    from netdeconv.surgery.describe import describe
    from netdeconv.surgery.fold import fold
    from netdeconv.surgery.recalibrate import recalibrate
else:
    __getattr__ = _lazy_names(__name__)

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
