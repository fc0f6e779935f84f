"""Every table of the pages, from JSON: ``python -m benchmarks.render_results`` rewrites the blocks between the markers.

With ``--check`` it only tells whether the pages are up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.pages.fine_tuning import render_fine_tuning
from benchmarks.pages.markdown import REPOSITORY, load, update
from benchmarks.pages.performance import render_performance
from benchmarks.pages.results import readme_rows, render_readme, render_results
from netdeconv.viz import rate_map

# What the map's candidates change of the default with five steps, panel by panel of their figure.
_CHANGED = {
    "head": ("plain head", "head 64"),
    "stem": ("stem 3 steps", "stem 15 steps", "stem 15 steps, frozen", "stem eps 1e-2", "stem channel"),
    "the other layers": ("channel 16", "full 8", "full 16", "7 steps"),
    "all": ("default", "channel", "paper", "whitened stem, batch norm", "batch norm"),
}


def draw(folder: Path, figures: Path) -> None:
    """README's figure, of its table's rows, and that of the map's candidates."""
    figures.mkdir(parents=True, exist_ok=True)
    rate_map(readme_rows(load(folder / "learning-rates.json"))).savefig(figures / "learning-rates.png", dpi=110)
    candidates = folder / "learning-rates-candidates.json"
    if candidates.exists():
        own = {row["normalisation"]: row for row in load(candidates)["rows"] if row["data"] == "cifar10"}
        panels = ((title, ("5 steps", *names)) for title, names in _CHANGED.items())
        rows = [own[name] | {"data": title} for title, names in panels for name in names if name in own]
        rate_map(rows).savefig(figures / "candidates.png", dpi=110)


def main() -> int:
    """Rewrite the blocks of all pages and the figures, or check the pages; returns the exit status."""
    check, results = "--check" in sys.argv[1:], REPOSITORY / "results"
    if not check:
        draw(results, REPOSITORY / "docs" / "figures")
    blocks = {
        "README.md": render_readme(results),
        "docs/results.md": render_results(results),
        "docs/performance.md": render_performance(results / "benchmarks"),
        "docs/fine-tuning.md": render_fine_tuning(results),
    }
    return max([update(REPOSITORY / page, block, check=check) for page, block in blocks.items()])


if __name__ == "__main__":
    raise SystemExit(main())
