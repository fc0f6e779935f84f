"""Run the fuzz in child processes, so that a crash is a finding; ``make fuzz`` writes the result."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHARE = 1250


def child(first: int, last: int) -> None:
    """Say each case that begins, and what was wrong with it."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import fuzz_cases
    import torch

    torch.set_num_threads(1)
    for seed in range(first, last):
        print(f"begin {seed}", flush=True)
        wrong = fuzz_cases.outcome(seed)
        if wrong:
            print(f"wrong {seed} {wrong}", flush=True)
    print("end", flush=True)


def process(first: int, last: int) -> tuple[int, str, str]:
    """Try cases in a process of its own: its exit status, and what it said."""
    command = [sys.executable, str(HERE / "run.py"), "--child", str(first), str(last)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def share(first: int, last: int, once: Callable[[int, int], tuple[int, str, str]] = process) -> list[dict[str, Any]]:
    """Findings of some cases, in as many processes as crashes ask for."""
    findings: list[dict[str, Any]] = []
    while first < last:
        code, said, error = once(first, last)
        begun = first
        for line in said.splitlines():
            word, *rest = line.split(maxsplit=2)
            if word == "begin":
                begun = int(rest[0])
            elif word == "wrong":
                findings.append({"seed": int(rest[0]), "what": rest[1]})
        if code == 0:
            break
        findings.append({"seed": begun, "what": f"exit status {code}: {error[-300:]}"})
        first = begun + 1
    return findings


def counted(first: int, last: int) -> dict[str, dict[str, int]]:
    """How many cases of each kind, dtype and so on there were."""
    import fuzz_cases

    names = ("kind", "axes", "dtype", "structure", "autocast", "channels_last", "standardize", "padding_mode")
    counts = {name: collections.Counter[str]() for name in names}
    for seed in range(first, last):
        case = dataclasses.asdict(fuzz_cases.draw(seed))
        for name in names:
            counts[name][str(case[name])] += 1
    return {name: dict(sorted(found.items())) for name, found in counts.items()}


def main() -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", type=int, nargs=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import torch

    start, last = time.monotonic(), options.first + options.count
    findings: list[dict[str, Any]] = []
    starts = range(options.first, last, SHARE)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda first: share(first, min(first + SHARE, last)), starts):
            findings += found
            print(f"another {SHARE} cases, {len(findings)} findings", flush=True)
    result = {
        "name": "Random layers against plain float64: steps, gradients, statistics, evaluation and folding",
        "command": f"python tests/fuzz/run.py --first {options.first} --count {options.count}",
        "config": {"first": options.first, "count": options.count},
        "seed": options.first,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "hardware": f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, one thread a process",
        "minutes": round((time.monotonic() - start) / 60, 1),
        "rows": [{"cases": options.count, "findings": findings, **counted(options.first, last)}],
    }
    if options.result:
        options.result.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for finding in findings:
        print(finding)
    return bool(findings)


if __name__ == "__main__":
    raise SystemExit(main())
