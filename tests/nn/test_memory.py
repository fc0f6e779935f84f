"""Training a strided 1x1 convolution of few channels corrupts no memory, as torch's own does on some processors."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys, torch, netdeconv
torch.set_num_threads(1)
channels, axes, last = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "last"
kind = {1: netdeconv.WhitenedConv1d, 2: netdeconv.WhitenedConv2d, 3: netdeconv.WhitenedConv3d}[axes]
layer = kind(channels, 48, 1, stride=2)
for _ in range(20):
    x = torch.randn(8, channels, *(({1: 4096, 2: 96, 3: 20}[axes],) * axes))
    x = x.to(memory_format=torch.channels_last) if last else x
    layer(x.requires_grad_()).sum().backward()
"""


@pytest.mark.parametrize(
    ("channels", "axes", "layout"), [(3, 2, "first"), (3, 2, "last"), (15, 2, "last"), (3, 3, "first")]
)
def test_a_strided_1x1_convolution_trains_in_a_child_process_that_lives(channels, axes, layout):
    arguments = [sys.executable, "-c", _PROGRAM, str(channels), str(axes), layout]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]
