"""Whitened layers: torch's layers with whitened inputs. Needs torch alone."""

from netdeconv.nn.channel import ChannelWhitening
from netdeconv.nn.conv import WhitenedConv1d, WhitenedConv2d, WhitenedConv3d
from netdeconv.nn.conv_transpose import WhitenedConvTranspose1d, WhitenedConvTranspose2d, WhitenedConvTranspose3d
from netdeconv.nn.layer import WhitenedLayer
from netdeconv.nn.linear import WhitenedLinear
from netdeconv.nn.statistics import InputStatistics, statistics_mode
from netdeconv.nn.synchronize import sync_statistics
from netdeconv.nn.whitening import Freeze, Whitening

__all__ = [
    "ChannelWhitening",
    "Freeze",
    "InputStatistics",
    "WhitenedConv1d",
    "WhitenedConv2d",
    "WhitenedConv3d",
    "WhitenedConvTranspose1d",
    "WhitenedConvTranspose2d",
    "WhitenedConvTranspose3d",
    "WhitenedLayer",
    "WhitenedLinear",
    "Whitening",
    "statistics_mode",
    "sync_statistics",
]
