"""Surgery on models: conversion, folding, statistics, checkpoints of others. Needs torch alone."""

from netdeconv.surgery.affine import ChannelAffine
from netdeconv.surgery.convert import convert
from netdeconv.surgery.describe import Description, LayerCost, LayerDescription, describe
from netdeconv.surgery.finite import check_finite
from netdeconv.surgery.fold import fold
from netdeconv.surgery.norms import NormParts, register_norm
from netdeconv.surgery.notices import CalibrationWarning, NothingChangedWarning, PartlyConvertedWarning
from netdeconv.surgery.plain import register_layer
from netdeconv.surgery.recalibrate import batch_statistics, recalibrate
from netdeconv.surgery.settings import SETTINGS, Settings

__all__ = [
    "SETTINGS",
    "CalibrationWarning",
    "ChannelAffine",
    "Description",
    "LayerCost",
    "LayerDescription",
    "NormParts",
    "NothingChangedWarning",
    "PartlyConvertedWarning",
    "Settings",
    "batch_statistics",
    "check_finite",
    "convert",
    "describe",
    "fold",
    "recalibrate",
    "register_layer",
    "register_norm",
]
