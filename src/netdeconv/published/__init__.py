"""The original implementation's layers as drop-ins: its names, arguments, buffers and numbers.

Somebody's code and checkpoints of the original run after a change of the import; :func:`to_library` turns such a model
into the library's own layers, which are faster. What the originals do differently: docs/differences-from-reference.md.
"""

from netdeconv.published.channel import ChannelDeconv
from netdeconv.published.conv import FastDeconv
from netdeconv.published.convert import to_library
from netdeconv.published.linear import Delinear

__all__ = ["ChannelDeconv", "Delinear", "FastDeconv", "to_library"]
