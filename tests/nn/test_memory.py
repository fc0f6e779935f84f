"""Training a strided 1x1 convolution of few channels corrupts no memory, as torch's own does on some processors."""

import torch

import netdeconv


def train() -> None:
    kinds = {2: (netdeconv.WhitenedConv2d, 96), 3: (netdeconv.WhitenedConv3d, 20)}
    for channels, axes, last in [(3, 2, False), (3, 2, True), (15, 2, True), (3, 3, False)]:
        print(channels, axes, last, flush=True)
        kind, size = kinds[axes]
        layer = kind(channels, 48, 1, stride=2)
        for _ in range(20):
            x = torch.randn(8, channels, *((size,) * axes))
            x = x.to(memory_format=torch.channels_last) if last else x
            layer(x.requires_grad_()).sum().backward()
    print("end")


def test_strided_1x1_convolutions_train_in_a_process_that_lives(forked):
    done = forked(train)
    assert done.returncode == 0, [*done.stdout.splitlines()[-1:], done.stderr[-500:]]
    assert done.stdout.endswith("end\n")
