"""What becomes of each kind of layer, and the named choices: the default and the paper's, each defined once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from netdeconv.nn.whitening import Freeze, Whitening


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The whitening of each kind of layer; ``None`` leaves layers of that kind as they are.

    Args:
        convolution: of convolutions that are nothing else of this list.
        stem: of the first convolution, where it reads data (at most 16 input channels).
        linear: of linear layers.
        grouped: of convolutions with several groups of several input channels.
        depthwise: of convolutions with one input channel for each group.
        gate: of squeeze-and-excite gates, whatever their layers: a module with a sigmoid and one or two layers of one
            tap, that pools to one position or squeezes and expands to as many channels. They see one row of each
            image, too few to whiten well.
    """

    convolution: Whitening | None = None
    stem: Whitening | None = None
    linear: Whitening | None = None
    grouped: Whitening | None = None
    depthwise: Whitening | None = None
    gate: Whitening | None = None

    @classmethod
    def of(
        cls, convolution: Whitening | None, *, stem: Whitening | None = None, linear: Whitening | None = None
    ) -> Settings:
        """All kinds alike, but for the stem and linear layers where they have settings of their own."""
        return cls(
            convolution=convolution,
            stem=stem or convolution,
            linear=linear or convolution,
            grouped=convolution,
            depthwise=convolution,
            gate=convolution,
        )


_PATCHES = Whitening()
_FIRST = dataclasses.replace(_PATCHES, num_iterations=15, freeze=Freeze())
_FEATURES = dataclasses.replace(_PATCHES, group_size=512)
_FEW = dataclasses.replace(_PATCHES, rows_per_feature=16)
# Measured: five steps of the stem's patches and three elsewhere learn most at nearly every rate.
_CHANNELS = dataclasses.replace(_FEW, structure="channel", num_iterations=3)
_HEAD = dataclasses.replace(_FEATURES, num_iterations=3)

DEFAULT, PAPER = "default", "paper"
SETTINGS: Mapping[str, Settings] = {
    DEFAULT: dataclasses.replace(Settings.of(_CHANNELS, stem=_FEW, linear=_HEAD), gate=None),
    PAPER: Settings.of(_PATCHES, stem=_FIRST, linear=_FEATURES),
    "full16": Settings.of(dataclasses.replace(_PATCHES, group_size=16), stem=_FIRST, linear=_FEATURES),
    "channel": Settings.of(dataclasses.replace(_PATCHES, structure="channel"), linear=_FEATURES),
    "stem": Settings(stem=_FIRST),
}
