"""fastai: a Learner with a converted xresnet, its stem alone or all of it, after lr_find.

python examples/fastai_learner.py
"""

from __future__ import annotations

import itertools

from digits import datasets
from fastai.callback.core import Callback
from fastai.callback.schedule import fit_one_cycle, lr_find  # noqa: F401  both become methods of Learner
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastai.vision.models.xresnet import ResBlock, XResNet

import netdeconv as nd


class Recalibrate(Callback):
    """Statistics of the network as it is now, over some training batches, before every validation."""

    def before_validate(self) -> None:
        """Recalibrate."""
        nd.recalibrate(self.learn.model, (images for images, _ in itertools.islice(self.dls.train, 8)))


def fit(model: XResNet, dls: DataLoaders) -> float:
    """Train two epochs at the rate that lr_find suggests; return the accuracy."""
    callbacks = [Recalibrate()]
    learner = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=callbacks)
    with learner.no_bar(), learner.no_logging():
        rate = learner.lr_find(show_plot=False, num_it=30).valley
        learner.fit_one_cycle(2, max(rate, 3e-3))
        return float(learner.validate()[1])


def main() -> float:
    """Train both, and return the lower accuracy."""
    set_seed(0)
    training, test = datasets(size=32)
    dls = DataLoaders.from_dsets(training, test, bs=64, device="cpu", num_workers=0)
    network = XResNet(ResBlock, 1, [1, 1, 1, 1], c_in=1, n_out=10, stem_szs=(8, 8, 64), widen=0.25)
    found = {
        "stem": fit(nd.convert(network, select="stem"), dls),
        "all": fit(nd.convert(network), dls),
    }
    print(", ".join(f"{name}: accuracy {score:.3f}" for name, score in found.items()))
    return min(found.values())


if __name__ == "__main__":
    main()
