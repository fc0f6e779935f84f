"""One whitened convolution taken apart: its operations, each alone, with the least work that each can be done with.

Letters: N batch, C channels in and out, K taps, P patches, S blocks, n = S P rows, D features of a block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from netdeconv import WhitenedConv2d, Whitening
from netdeconv.linalg import Grouping, PatchGeometry, gather_patches, inverse_sqrt, patch_statistics, scatter_patches
from netdeconv.nn.weight import whiten_weight

STRUCTURES = ("full", "channel")


@dataclasses.dataclass(frozen=True)
class Point:
    """Sizes of a layer and its input."""

    channels: int
    kernel: int
    batch: int
    size: int
    group_size: int


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to time.

    Args:
        run: does it once.
        operations: the fewest additions and multiplications, with symmetric results computed once.
        moved: the fewest bytes, each input read once and each output written once.
        dtype: of the products.
    """

    run: Callable[[], object]
    operations: float = 0.0
    moved: float = 0.0
    dtype: torch.dtype = torch.float32


def layers(point: Point, dtype: torch.dtype, device: torch.device) -> Iterator[tuple[str, Part]]:
    """Forward and backward of the convolution, and of whitened layers of every structure."""
    x = _input(point, dtype, device).requires_grad_()
    c, k = point.channels, point.kernel
    plain = nn.Conv2d(c, c, k, padding=k // 2)
    whitened = {
        structure: WhitenedConv2d(
            c, c, k, padding=k // 2, whitening=Whitening(structure=structure, group_size=point.group_size)
        )
        for structure in STRUCTURES
    }
    pixels, weights = x.numel(), plain.weight.numel()
    # forward reads x and w and writes y; backward reads dy, x and w and writes dx and dw
    moved = (5 * pixels + 3 * weights) * x.element_size()
    for name, layer in {"convolution": plain, **whitened}.items():
        layer.to(device, memory_format=torch.channels_last)
        yield name, Part(_both_passes(layer, x), 6 * pixels * c * k**2, moved, dtype)


def _both_passes(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    def forward() -> Tensor:
        with torch.autocast(x.device.type, x.dtype, enabled=x.dtype != torch.float32):
            return layer(x)

    gradient = torch.randn_like(forward())

    def run() -> None:
        torch.autograd.grad(forward(), [x, *layer.parameters()], gradient)

    return run


def operations(point: Point, dtype: torch.dtype, device: torch.device) -> Iterator[tuple[str, Part]]:
    """The operations of structure "full", forward and backward, each alone."""
    whitening = Whitening(group_size=point.group_size)
    padding, step = point.kernel // 2, whitening.sampling_stride
    geometry = PatchGeometry((point.kernel,) * 2, (step,) * 2, ((padding, padding),) * 2, (1, 1))
    grouping = Grouping.of(point.channels, 1, point.group_size)
    x = _input(point, dtype, device)
    patches = gather_patches(x, geometry, grouping, dtype=torch.float32)
    into = torch.zeros_like(x)
    sampled = 4 * patches.numel()
    read = x.element_size() * min(x.numel(), patches.numel())
    yield "sampling", Part(lambda: gather_patches(x, geometry, grouping, dtype=torch.float32), 0, read + sampled)
    yield "sampling, backward", Part(lambda: scatter_patches(patches, into, geometry, grouping), 0, 2 * read + sampled)
    yield from _covariance(patches[0])
    yield from _root_and_product(patches[0], point, grouping, whitening.eps)


def _covariance(rows_nD: Tensor) -> Iterator[tuple[str, Part]]:
    """Of rows that are there already: with the copy of them that centring makes."""
    n, d = rows_nD.shape
    geometry, grouping = PatchGeometry(), Grouping(1, 1, d)
    leaf = rows_nD.clone().requires_grad_()
    results = patch_statistics(leaf, geometry, grouping, exclusive=True)
    gradients = [torch.randn_like(result) for result in results]
    size, matrix = 4 * n * d, 4 * d * d

    def backward() -> None:
        torch.autograd.grad(results, leaf, gradients, retain_graph=True)

    yield "covariance", Part(lambda: patch_statistics(rows_nD, geometry, grouping), n * d * d, size + matrix)
    yield "covariance, backward", Part(backward, 2 * n * d * d, 3 * size + matrix)


def _root_and_product(rows_nD: Tensor, point: Point, grouping: Grouping, eps: float) -> Iterator[tuple[str, Part]]:
    d = rows_nD.shape[1]
    covariance = torch.cov(rows_nD.T, correction=0).reshape(1, d, d) + eps * torch.eye(d, device=rows_nD.device)
    covariance.requires_grad_()
    root = inverse_sqrt(covariance)
    direction = torch.randn_like(root)
    # 3 (n - 1) = 12 products of symmetric result; the derivative of a product is two products
    cube, square = 12 * d**3, 4 * d * d
    yield "inverse root", Part(lambda: inverse_sqrt(covariance.detach()), cube, 2 * square)
    yield (
        "inverse root, backward",
        Part(lambda: torch.autograd.grad(root, covariance, direction, retain_graph=True), 2 * cube, 3 * square),
    )
    c, k = point.channels, point.kernel**2
    weight = torch.randn(c, c, k, device=rows_nD.device).requires_grad_()
    mean, matrix = rows_nD.mean(0, keepdim=True).requires_grad_(), root.detach().requires_grad_()
    results = whiten_weight(weight, mean, matrix, grouping)
    gradients = [torch.randn_like(result) for result in results]
    product, weights = 2 * c * c * k * d, 4 * c * c * k

    def backward() -> None:
        leaves = [weight, mean, matrix]
        torch.autograd.grad(results, leaves, gradients, retain_graph=True)

    constant = mean.detach(), matrix.detach()
    yield (
        "weight product",
        Part(lambda: whiten_weight(weight.detach(), *constant, grouping), product, 2 * weights + square),
    )
    yield "weight product, backward", Part(backward, 2 * product, 3 * weights + 2 * square)


def _input(point: Point, dtype: torch.dtype, device: torch.device) -> Tensor:
    x = torch.randn(point.batch, point.channels, point.size, point.size, device=device)
    return x.to(dtype=dtype, memory_format=torch.channels_last)
