"""The page of results, and README's one table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pages.markdown import BEGIN, END, Row, load, render_rows, render_table

# The page of results: what a reader wants first. Files that are named nowhere stand under the last heading.
SECTIONS = {
    "Whitening against batch norm": (
        *(
            "learning-rates",
            "learning-rates-networks",
            "learning-rates-further",
            "learning-rates-candidates",
            "running-statistics",
            "seconds-to-accuracy-vgg11",
            "seconds-to-accuracy-vgg11-quarter",
            "seconds-to-accuracy-resnet18",
            "seconds-to-accuracy-resnet18-quarter",
        ),
        *("cifar10-vgg11-twenty-epochs", "cifar10-resnet18-twenty-epochs", "cifar10-vgg11-quarter-twenty-epochs"),
        *("cifar10-vgg11-three-epochs", "cifar10-vgg11-search"),
    ),
    "Segmentation": ("segmentation/camvid", "segmentation/camvid-search"),
    "The paper's experiments": ("cifar10-one-epoch", "mnist-mlp", "fashion-regression"),
    "Further": (),
}
_README_DATA, _README_NORMS = ("cifar10", "fashion_mnist", "digits"), ("batch norm", "default")


def render_results(folder: Path) -> str:
    """The page of results, markers included: the tables of ``folder`` and of its part on segmentation."""
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.glob("*.json"))}
    files |= {f"segmentation/{path.stem}": path for path in sorted(folder.glob("segmentation/*.json"))}
    named = {name for names in SECTIONS.values() for name in names}
    blocks = []
    for heading, names in SECTIONS.items():
        own = [name for name in names or sorted(files.keys() - named) if name in files]
        blocks += [f"## {heading}", *(render_table(load(files[name]), f"{name}.json") for name in own)] if own else []
    return "\n\n".join([BEGIN, *(blocks or ["No results are recorded yet."]), END])


def render_readme(folder: Path) -> str:
    """README's one table, markers included: batch norm and the default at every learning rate."""
    table = load(folder / "learning-rates.json")
    file, told = "results/learning-rates.json", "mean over seeds, spread is their standard deviation."
    origin = f"`netdeconv reproduce learning-rates`, [{file}]({file}); {table['hardware']}; {told}"
    return "\n\n".join([BEGIN, render_rows(readme_rows(table)), origin, END])


def readme_rows(table: Row) -> list[Row]:
    found = {(row["data"], row["normalisation"]): row for row in table["rows"]}
    return [found[data, norm] for data in _README_DATA for norm in _README_NORMS]
