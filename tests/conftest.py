"""One session for all tests: seeds, threads, hypothesis, processes, and where real data sets are.

With ``-n`` the process that was typed only hands tests out: it imports neither torch nor anything that does.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

SERVER = pytest.StashKey[Any]()
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SEED = 20200426
# What a test needs to find under the data root before it may use a data set.
MARKERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "camvid": "camvid",
    "imagenet_sample": "imagenet_sample",
}

# The files and folders that take longest, longest first: workers begin with them, and none is left alone with one.
SLOW = (
    "kernels/test_package",
    "training/test_processes",
    "fuzz/",
    "surgery/test_torchvision",
    "benchmarks/test_every_network",
    "faults/",
    "report/",
    "experiments/",
    "cli/",
    "nn/test_ranks",
    "tasks/",
    "benchmarks/",
    "test_docs",
)

# Figures are drawn without a screen; the library itself never sets a backend.
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_configure(config: pytest.Config) -> None:
    """Fix the number of threads, for a reduction split differently rounds differently; workers share the cores."""
    if config.getoption("numprocesses", None):
        return
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, too
    importlib.import_module("torch").set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    # The same examples in every run; time limits would only measure how busy the machine is.
    hypothesis = importlib.import_module("hypothesis")
    hypothesis.settings.register_profile(
        "netdeconv",
        derandomize=True,
        deadline=None,
        max_examples=40,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("netdeconv")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first; the tests of a file stay together and in order."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(HERE).as_posix()
        return next((number for number, start in enumerate(SLOW) if name.startswith(start)), len(SLOW))

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fork the server of processes, and keep what was imported out of garbage collections."""
    if session.items:
        session.config.stash[SERVER] = importlib.import_module("forks").Server()
        gc.freeze()


@pytest.fixture(scope="session")
def forked(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """``forked(action, *arguments)`` runs an action in a process of its own: see ``forks.Server.run``."""
    return pytestconfig.stash[SERVER].run


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, whichever tests ran before it."""
    random.seed(SEED)
    importlib.import_module("numpy").random.seed(SEED)
    importlib.import_module("torch").manual_seed(SEED)


@pytest.fixture(autouse=True)
def _quick_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Placing the parts of a figure takes half of its time, and matters in the tests of figures alone."""
    engine = sys.modules.get("matplotlib.layout_engine")
    if engine is not None and "viz" not in request.path.parts:
        monkeypatch.setattr(engine.ConstrainedLayoutEngine, "execute", lambda self, figure: None)


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a data set's name to the root folder that holds it, or a skip that says what to do."""
    packed = REPOSITORY.parent / "shared" / "datasets" / "prepare.py"
    session = tmp_path_factory.getbasetemp()
    # Workers have folders of their own inside that of their session.
    root = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "datasets"

    def find(name: str) -> Path:
        given = os.environ.get("NETDECONV_DATA")
        if given and (Path(given) / MARKERS[name]).exists():
            return Path(given)
        if not packed.exists():
            pytest.skip(f"no {name} data: set NETDECONV_DATA to a folder that holds {MARKERS[name]}")
        if name == "camvid" and "NETDECONV_SLOW" not in os.environ:
            pytest.skip("camvid takes 20 seconds to expand: make examples does, or set NETDECONV_DATA")
        root.mkdir(exist_ok=True)
        done = root / f"{name}.expanded"
        with filelock.FileLock(root / "lock"):
            if not done.exists():
                command = [sys.executable, str(packed), str(root), "--only", name]
                finished = subprocess.run(command, capture_output=True, text=True, check=False)
                if finished.returncode != 0:
                    pytest.fail(f"expanding {name} failed:\n{finished.stdout}\n{finished.stderr}")
                done.touch()
        return root

    return find


@pytest.fixture
def data_root(real_data: Callable[[str], Path]) -> Path:
    """The root folder of real CIFAR-10; other data sets are asked for with ``real_data(name)``."""
    return real_data("cifar10")
