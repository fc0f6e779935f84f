"""``python -m faults RESULT``: try all kinds of faults, write their counts, fail on a finding."""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from faults import kinds
from faults.runs import finished, import_as, tiny
from netdeconv.training.results import environment

# Kind, moments in all, and at how many one run is hit.
KINDS: dict[str, tuple[Callable[..., int], int, int]] = {
    "kill -9 at a random moment": (functools.partial(kinds.signals, number=signal.SIGKILL), 40, 4),
    "SIGTERM at a random moment": (functools.partial(kinds.signals, number=signal.SIGTERM), 32, 4),
    "killed within a write": (kinds.writes, 40, 4),
    "killed within an export's write": (kinds.exports, 4, 4),
    "full disk": (kinds.full_disk, 8, 2),
    "checkpoint cut or bits flipped": (kinds.damage, 300, 100),
    "two runs at once": (kinds.two_at_once, 4, 2),
    "one of two processes killed": (kinds.killed_rank, 4, 2),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return how many kinds have findings."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("result", type=Path, help="file of counts to write")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the moments; kinds of which none is left are not tried"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="part of the names of kinds to try; the result keeps others' rows")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    begun, rows, minutes = time.monotonic(), {name: {} for name in KINDS}, 0.0
    if options.only:
        before = json.loads(options.result.read_text(encoding="utf-8"))
        rows |= {row["fault"]: row for row in before["rows"]}
        minutes = before["minutes"]
    with tempfile.TemporaryDirectory(prefix="faults-") as made:
        work = Path(made)
        import_as(tiny(work / "first"))
        whole = kinds.Whole(work / "whole", finished(tiny(work / "whole")))
        for name, (fault, moments, at_once) in KINDS.items():
            if options.only not in name:
                continue
            count = round(options.share * moments)
            if count == 0:
                continue
            rows[name] = _row(name, fault, count, at_once, work, whole, options.seed)
            print(f"{name}: {rows[name]}", flush=True)
            _write(options, [row for row in rows.values() if row], minutes + (time.monotonic() - begun) / 60)
    return sum(bool(row["findings"]) for row in rows.values() if row)


def _row(
    name: str, fault: Callable[..., int], moments: int, at_once: int, work: Path, whole: kinds.Whole, seed: int
) -> dict[str, object]:
    tried, findings = 0, []
    chance = random.Random(f"{seed} {name}")
    for number in range(-(-moments // at_once)):
        folder = work / f"{name}-{number}".replace(" ", "_")
        folder.mkdir()
        try:
            tried += fault(folder, whole, chance, min(at_once, moments - number * at_once))
        except (AssertionError, TimeoutError) as error:
            findings.append(f"{type(error).__name__}: {error}".replace(str(work), "WORK"))
        shutil.rmtree(folder)
    return {"fault": name, "moments": moments, "hit": tried, "findings": findings}


def _write(options: argparse.Namespace, rows: list[dict[str, object]], minutes: float) -> None:
    found = environment(torch.device("cpu"), "float32")
    table = {
        "name": "Faults at random moments: runs go on to the same numbers, bit for bit, or say what is wrong",
        "command": f"python -m faults results/checks/{options.result.name}"
        + (f" --share {options.share:g}" if options.share != 1 else "")
        + (f" --only {shlex.quote(options.only)}" if options.only else ""),
        "config": {"share": options.share, "only": options.only},
        "seed": options.seed,
        "versions": {
            name: found[name] for name in ("python", "torch", "netdeconv", "lightning-fabric", "torchmetrics")
        },
        "hardware": f"{found['processor']}, {os.cpu_count()} processors, 1 thread, {found['precision']}",
        "minutes": round(minutes, 1),
        "rows": rows,
        "note": "A moment that comes after the run's end hits nothing.",
    }
    options.result.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
