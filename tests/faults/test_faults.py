"""A dozen of the moments of ``make faults``, in a process that was not forked from this one's threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_a_dozen_moments_leave_no_finding(tmp_path):
    result = tmp_path / "faults.json"
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "faults", str(result), "--share", "0.05", "--seed", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    rows = json.loads(result.read_text())["rows"]
    assert {row["fault"]: row["findings"] for row in rows if row["findings"]} == {}
    assert done.returncode == 0, done.stderr
    assert sum(row["moments"] for row in rows) >= 12
    assert sum(row["hit"] for row in rows) >= 15
