"""What every command's tests do without."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that `compare` ends with has tests of its own, and is drawn for seconds."""
    monkeypatch.setattr("netdeconv.cli.compare.page", lambda folder: f"report, for a browser: {folder}\n")


@pytest.fixture
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together, and their files are empty: drawing takes longer than training."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: Path(path).touch())
