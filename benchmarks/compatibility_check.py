"""What is checked of another library's network: the row of :mod:`benchmarks.compatibility`."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import netdeconv as nd
from benchmarks.compatibility_networks import build, image_size, inputs_of, logits
from netdeconv.models import NormConfig
from netdeconv.models.normalisation import settings_of
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery.batches import relative_difference
from netdeconv.surgery.norms import is_norm
from netdeconv.surgery.notices import counted
from netdeconv.surgery.plain import plain_base
from netdeconv.surgery.policy import make_plan

BATCH, BATCHES, LR, MOMENTUM = 16, 4, 0.01, 0.9
# networks with more operations an image, forwards, or more weights make a fourth of the steps
_MANY_OPERATIONS, _MANY_WEIGHTS = 4e8, 3e7


def images_and_labels(root: Path, further: int = 0) -> tuple[Tensor, Tensor]:
    """The first images of CIFAR-10, normalised: training batches, one more to evaluate on, and further images."""
    from torchvision.datasets import CIFAR10

    data = CIFAR10(root, train=True)
    number = (BATCHES + 1) * BATCH + further
    images = torch.from_numpy(data.data[:number]).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images * 2, torch.tensor(data.targets[:number])


class Check:
    """One network's row.

    Args:
        name: of the network.
        images: (N, 3, 32, 32), of the dtype that all is computed in.
        labels: (N,).
        steps: of a small network.
        lr: learning rate.
        iterations: of the inverse roots of all layers; ``None``: the default's.
    """

    def __init__(
        self, name: str, images: Tensor, labels: Tensor, steps: int, lr: float = LR, iterations: int | None = None
    ) -> None:
        size = image_size(name)
        self.lr = lr
        self.settings = settings_of(NormConfig(name="default", num_iterations=iterations, stem_iterations=iterations))
        large = nn.functional.interpolate(images, (size, size), mode="bilinear")
        batches = [*zip(inputs_of(name, large).split(BATCH), labels.split(BATCH), strict=True)]
        self.training, self.held_out = batches[:BATCHES], batches[BATCHES]
        self.inputs = [inputs for inputs, _ in self.training]
        self.further = [inputs for inputs, _ in batches[BATCHES + 1 :]]
        torch.manual_seed(0)
        self.original = build(name).to(images.dtype).train()
        self.row: dict[str, Any] = {"network": name, "pixels": size}
        self.steps = steps

    def run(self) -> dict[str, Any]:
        """Everything, the row as far as it got in ``self.row``."""
        steps = self._steps()
        self.row["steps"] = steps
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = nd.convert(self.original, self.settings)
        self._count(model, [str(w.message) for w in caught])
        with_norms = copy.deepcopy(self.original)
        self._train(with_norms, steps, "batch norm")
        self.row["calibration, difference"] = self._calibration(with_norms)
        del with_norms
        self._train(model, steps, "converted", evaluate=True)
        nd.recalibrate(model, self.inputs[:2])
        model.eval()
        with torch.no_grad():
            expected = model(self.held_out[0])
            self.row["folded, difference"] = relative_difference(nd.fold(model).eval()(self.held_out[0]), expected)
        return self.row

    def _steps(self) -> int:
        model = copy.deepcopy(self.original).eval().requires_grad_(False)  # the counter follows gradients
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(self.inputs[0][:1])
        operations = counter.get_total_flops()
        self.row["GFLOP an image"] = round(operations / 1e9, 3)
        many = operations > _MANY_OPERATIONS or sum(p.numel() for p in model.parameters()) > _MANY_WEIGHTS
        return max(2, self.steps // 4) if many else self.steps

    def _count(self, model: nn.Module, notes: list[str]) -> None:
        layers = sum(plain_base(m) is not None or isinstance(m, WhitenedLayer) for m in model.modules())
        whitened = sum(isinstance(m, WhitenedLayer) for m in model.modules())
        norms = [sum(is_norm(m) for m in net.modules()) for net in (model, self.original)]
        self.row |= {"whitened": f"{whitened} of {layers}", "norms left": f"{norms[0]} of {norms[1]}"}
        kept = make_plan(self.original).skipped
        of_norms = (kept[name] for name, module in self.original.named_modules() if name in kept and is_norm(module))
        self.row |= {"norms left, why": counted(of_norms), "warning": " ".join(notes)[:600]}

    def _loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(logits(model(batch[0])), batch[1])

    def _train(self, model: nn.Module, steps: int, label: str, *, evaluate: bool = False) -> None:
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), self.lr, MOMENTUM)
        losses = []
        for step in range(steps):
            optimizer.zero_grad()
            loss = self._loss(model, self.training[step % BATCHES])
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step == 1 and evaluate:
                self._evaluate(model)
        self.row[f"first loss, {label}"] = losses[0]
        self.row[f"last loss, {label}"] = sum(losses[-BATCHES:]) / min(BATCHES, steps)

    @torch.no_grad()
    def _evaluate(self, model: nn.Module) -> None:
        """Loss on a held-out batch: with its own statistics, with running ones, and with those of a recalibration."""
        state = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with nd.surgery.batch_statistics(model):
            self.row["evaluated, batch statistics"] = float(self._loss(model, self.held_out))
        model.eval()
        self.row["evaluated, running"] = float(self._loss(model, self.held_out))
        nd.recalibrate(model, [*self.inputs, *self.further])
        self.row["evaluated, recalibrated"] = float(self._loss(model, self.held_out))
        for name, buffer in model.named_buffers():
            buffer.copy_(state[name])
        model.train()

    @torch.no_grad()
    def _calibration(self, trained: nn.Module) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nd.recalibrate(trained, self.inputs[:2])  # after few steps running statistics are those of no network
            model = nd.convert(trained.eval(), calibration=self.inputs[:1]).eval()
        return relative_difference(model(self.held_out[0]), trained(self.held_out[0]))
