"""A dozen of the moments of ``make faults``."""

from __future__ import annotations

import json

from faults import __main__ as faults


def test_a_dozen_moments_leave_no_finding(forked, tmp_path):
    result = tmp_path / "faults.json"
    done = forked(faults.main, [str(result), "--share", "0.05", "--seed", "7"])
    rows = json.loads(result.read_text())["rows"]
    assert {row["fault"]: row["findings"] for row in rows if row["findings"]} == {}
    assert done.returncode == 0, done.stderr
    assert sum(row["moments"] for row in rows) >= 12
    assert sum(row["hit"] for row in rows) >= 15
