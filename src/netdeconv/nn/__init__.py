"""Whitened layers: torch's layers with whitened inputs. Needs torch alone."""

from netdeconv.nn.channel import ChannelWhitening
from netdeconv.nn.conv import WhitenedConv1d, WhitenedConv2d, WhitenedConv3d
from netdeconv.nn.conv_transpose import WhitenedConvTranspose2d
from netdeconv.nn.init import initialize
from netdeconv.nn.layer import WhitenedLayer
from netdeconv.nn.linear import WhitenedLinear
from netdeconv.nn.synchronize import sync_statistics
from netdeconv.nn.whitening import Freeze, Whitening

__all__ = [
    "ChannelWhitening",
    "Freeze",
    "WhitenedConv1d",
    "WhitenedConv2d",
    "WhitenedConv3d",
    "WhitenedConvTranspose2d",
    "WhitenedLayer",
    "WhitenedLinear",
    "Whitening",
    "initialize",
    "sync_statistics",
]
