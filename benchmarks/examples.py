"""Every example in a process of its own, with its seconds and its last line: ``python -m benchmarks.examples``.

``make examples`` checks what they reach; this says how long they take, and with which versions of the libraries.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import environment, tables
from benchmarks.pages.markdown import REPOSITORY

EXAMPLES = sorted(path.stem for path in (REPOSITORY / "examples").glob("*.py") if path.stem != "digits")
# What each is about, beside torch.
PACKAGES = {
    "fastai_learner": "fastai",
    "huggingface_trainer": "transformers",
    "lightning_callback": "lightning",
    "segmentation_models": "segmentation-models-pytorch",
    "timm_model": "timm",
    "torchvision_reference": "torchvision",
    "volume_3d": "monai",
}


def run(name: str, limit: float) -> dict[str, Any]:
    """One example: seconds of the processor, imports included, and its last line, or the error's."""
    package = PACKAGES.get(name, "torch")
    row: dict[str, Any] = {"example": name, "package": package}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        row["version"] = importlib.metadata.version(package).partition("+")[0]
        command = [sys.executable, str(REPOSITORY / "examples" / f"{name}.py")]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, env=one_thread)
        lines = (done.stderr if done.returncode else done.stdout).split("\n")
        row["error" if done.returncode else "last line"] = next(filter(None, reversed(lines)), "")
    except (importlib.metadata.PackageNotFoundError, subprocess.TimeoutExpired) as error:
        row["error"] = f"{type(error).__name__}: {error}".replace(str(REPOSITORY), "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row["seconds"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all that are asked for."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__)
    parser.add_argument("--names", nargs="+", choices=EXAMPLES, default=EXAMPLES)
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one, by the clock")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "results" / "checks" / "examples.json")
    options = parser.parse_args(given)
    tables.one_by_one(
        "The examples, each in a process of its own; seconds of the processor with imports",
        (run(name, options.limit) for name in options.names),
        options.output,
        command=environment.command("examples", given),
    )


if __name__ == "__main__":
    main()
