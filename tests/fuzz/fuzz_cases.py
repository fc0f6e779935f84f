"""Random layers and how each is compared with the oracle: training, gradients, statistics, evaluation, folding."""

from __future__ import annotations

import dataclasses
import random
import warnings
from typing import Any

import fuzz_oracle
import torch
from fuzz_oracle import Case
from torch import Tensor, nn

import netdeconv as nd
from tolerances import relative_error

BATCHES = 2
# Relative to the largest entry, without what steps and conditioning magnify.
UNITS = {"float64": 2.3e-16, "float32": 1.2e-7, "bfloat16": 7.9e-3}
_SHARES = {"output": 4.0, "gradient": 16.0, "statistics": 4.0}
LAYERS = {
    "conv": (nd.WhitenedConv1d, nd.WhitenedConv2d, nd.WhitenedConv3d),
    "transposed": (nd.WhitenedConvTranspose1d, nd.WhitenedConvTranspose2d, nd.WhitenedConvTranspose3d),
}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def draw(seed: int) -> Case:
    """The case of a seed."""
    r = random.Random(seed)
    kind = r.choices(["conv", "transposed", "linear", "channels"], [6, 2, 1, 1])[0]
    axes = 0 if kind == "linear" else r.choices([1, 2, 3], [2, 6, 1])[0] if kind != "channels" else r.randint(0, 3)
    dtype = r.choices(["float64", "float32", "bfloat16"], [5, 3, 2])[0]
    groups = r.choice([1, 1, 2, 3]) if kind in LAYERS else 1
    channels, outputs = groups * r.randint(1, 20 if axes < 2 else 7), groups * r.randint(2, 5)
    some = lambda low, high: tuple(r.randint(low, high) for _ in range(axes))  # noqa: E731
    kernel, stride, dilation, padding = some(1, 3), some(1, 3), some(1, 2), some(0, 2)
    if kind == "channels":
        kernel, stride, dilation, padding = ((n,) * axes for n in (1, 1, 1, 0))  # type: ignore[assignment]
    mode = r.choice(["zeros", "zeros", "reflect", "replicate", "circular"]) if kind == "conv" else "zeros"
    if kind == "transposed":
        padding = tuple(min(p, d * (k - 1)) for p, d, k in zip(padding, dilation, kernel, strict=True))
    sizes = tuple(r.randint(5, 9 if axes < 3 else 6) for _ in range(axes))
    case = Case(
        kind, axes, channels, outputs, kernel, stride, padding, dilation, groups, r.random() < 0.7, mode,
        (r.choice([2, 3, 5, 17, 70]), channels, *sizes), r.choice(["full", "full", "channel"]),
        r.choice([1, 2, 3, 4, 8]),
        r.randint(1, 7), r.choice([1e-3, 1e-2, 0.1]), r.random() < 0.25, r.randint(1, 3), r.choice([None, 1, 4]),
        r.choice([None, 0.1, 0.5, 1.0]), dtype, dtype == "bfloat16" and r.random() < 0.5, r.random() < 0.5,
        r.choice([0.3, 1.0, 3.0]), r.choice([0.0, 1.0]), seed,
    )  # fmt: skip
    if r.random() < 0.06:  # where little is left of an axis, one row
        case = dataclasses.replace(case, shape=(1, channels, *(min(size, 5) for size in sizes)))
    if r.random() < 0.04:
        case = dataclasses.replace(case, steps=r.randint(8, 18))
    return case


def layer_of(case: Case) -> nn.Module:
    settings = nd.Whitening(
        structure=case.structure, group_size=case.group_size, num_iterations=case.steps, eps=case.eps,
        standardize=case.standardize, sampling_stride=case.sampling, rows_per_feature=case.rows_per_feature,
        momentum=case.momentum,
    )  # fmt: skip
    own: dict[str, Any] = {
        "whitening": settings,
        "dtype": torch.float32 if case.autocast else getattr(torch, case.dtype),
    }
    if case.kind == "linear":
        return nd.WhitenedLinear(case.channels, case.outputs, case.bias, **own)
    if case.kind == "channels":
        return nd.ChannelWhitening(case.channels, **own)
    own |= {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
    own |= {"bias": case.bias, "padding_mode": case.padding_mode}
    layer = LAYERS[case.kind][case.axes - 1](case.channels, case.outputs, case.kernel, **own)
    return layer.to(memory_format=LAST[case.axes]) if case.channels_last and case.axes in LAST else layer


def compare(case: Case) -> dict[str, float]:
    """Relative errors over what is allowed, by what was compared; above 1 is a finding."""
    generator = torch.Generator().manual_seed(case.seed)
    torch.manual_seed(case.seed)
    narrow = getattr(torch, case.dtype)
    layer, errors = layer_of(case), {}
    parameters = [p.detach().to(narrow).double().requires_grad_() for p in layer.parameters()]
    weight = parameters[0] if parameters else None
    bias = parameters[1] if len(parameters) > 1 else None
    mixing = torch.randn(case.channels, case.channels, generator=generator, dtype=torch.float64) / case.channels**0.5
    running: list[tuple[Tensor, Tensor]] = []
    # gains of the steps, of the smallest directions, and of what a mean leaves when it is rounded
    gain = 1.5**case.steps * (1 + case.mean) * 32
    allowed = {key: UNITS[case.dtype] * (2 if case.dtype == "bfloat16" else gain) * c for key, c in _SHARES.items()}

    def note(what: str, actual: Tensor, expected: Tensor, part: str, largest: float = 0.0) -> None:
        own = float(expected.detach().abs().max()) or 1.0
        error = relative_error(actual, expected) * own / max(own, largest)
        errors[what] = max(errors.get(what, 0.0), error / allowed[part])

    def uncentred(x: Tensor, found: list[tuple[Tensor, Tensor]]) -> float:
        """Largest entry of x D w: layers compute x D w + (b - mean D w), each part rounded, and a mean cancels."""
        with torch.no_grad():
            return float(fuzz_oracle.apply(case, x, weight, bias, [(m * 0, d) for m, d in found]).abs().max())

    for batch in range(BATCHES):
        plain = torch.randn(case.shape, generator=generator, dtype=torch.float64)
        plain = torch.tensordot(plain, mixing, ([1], [0])).movedim(-1, 1) * case.scale + case.mean * (batch + 1)
        x = plain.to(torch.float32 if case.autocast else narrow)
        if case.channels_last and case.axes in LAST:
            x = x.to(memory_format=LAST[case.axes])
        leaf, known = x.clone().requires_grad_(), x.to(narrow).double().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=case.autocast):
            y = layer(leaf)
        found = fuzz_oracle.statistics(case, known)
        one_row = found is None
        found = found or running or fuzz_oracle.nothing_known(case)
        expected = fuzz_oracle.apply(case, known, weight, bias, found)
        note("output", y, expected, "output", uncentred(known, found))
        found = [(m.detach(), d.detach()) for m, d in found]
        share = 1 / (batch + 1) if case.momentum is None else case.momentum / (1 - (1 - case.momentum) ** (batch + 1))
        old = running or found
        running = [(m0 + share * (m - m0), d0 + share * (d - d0)) for (m0, d0), (m, d) in zip(old, found, strict=True)]
        if one_row:
            running = found
        if batch != case.seed % BATCHES:
            continue
        upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(y.dtype)
        ours = torch.autograd.grad(y, [leaf, *layer.parameters()], upstream)
        theirs = torch.autograd.grad(expected, [known, *parameters], upstream.double())
        # The input's is of two parts, through the product and through the statistics, and each is rounded. Of few rows
        # the output hardly depends on the input, so that they cancel: an error is relative to the larger.
        product = fuzz_oracle.apply(case, known, weight, bias, found)
        (direct,) = torch.autograd.grad(product, known, upstream.double())
        note("input's gradient", ours[0], theirs[0], "gradient", float(direct.abs().max()))
        # The weight's is of two parts as well, the product's and the mean's, and a large mean cancels.
        without_mean = fuzz_oracle.apply(case, known.detach(), weight, bias, [(m * 0, d) for m, d in found])
        parts = torch.autograd.grad(without_mean, parameters, upstream.double()) if parameters else ()
        for actual, wanted, part in zip(ours[1:], theirs[1:], parts, strict=True):
            note("gradient", actual, wanted, "gradient", float(part.abs().max()))
    note("running mean", layer.statistics.running_mean, torch.stack([m for m, _ in running]), "statistics")
    note("running matrix", layer.statistics.running_whitening, torch.stack([d for _, d in running]), "statistics")
    layer.eval()
    exact = [
        (m.double(), d.double())
        for m, d in zip(layer.statistics.running_mean, layer.statistics.running_whitening, strict=True)
    ]
    with torch.no_grad():
        expected = fuzz_oracle.apply(case, x.to(narrow).double(), weight, bias, exact)
        with torch.autocast("cpu", torch.bfloat16, enabled=case.autocast):
            largest = uncentred(x.to(narrow).double(), exact)
            note("evaluated", layer(x), expected, "output", largest)
            folded = nd.fold(nn.Sequential(layer))
            note("folded", folded(x.to(folded[0].weight.dtype)), expected, "output", largest)
    return errors


def outcome(seed: int) -> str | None:
    """What is wrong with a case, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            errors = compare(draw(seed))
        except (ValueError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
    wrong = {what: round(error, 1) for what, error in errors.items() if not error <= 1}
    return f"errors over what is allowed: {wrong}" if wrong else None
