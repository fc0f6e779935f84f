"""Every table of the pages, from JSON: ``python benchmarks/render_results.py`` rewrites the blocks between the markers.

With ``--check`` it only tells whether the pages are up to date. Each JSON file is one table: ``name``, ``command``
(what made it), ``config``, ``seed`` (or a list), ``versions``, ``hardware``, ``minutes`` and ``rows``, a list of
objects with the same keys in display order. An optional ``note`` is printed under the table, and after it optional
``parts``: further tables of the same measurement, each with a ``name`` and ``rows``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KEYS = ("name", "command", "config", "seed", "versions", "hardware", "minutes", "rows")
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
        *("cifar10-vgg11-quarter-twenty-epochs", "cifar10-vgg11-three-epochs", "cifar10-vgg11-search"),
    ),
    "Segmentation": ("segmentation/camvid", "segmentation/camvid-search"),
    "The paper's experiments": ("cifar10-one-epoch", "mnist-mlp", "fashion-regression"),
    "Further": (),
}
NETWORKS, DTYPES = {"vgg11": "VGG-11", "resnet18": "ResNet-18"}, ("bfloat16", "float32")
NORM = "batch_norm"
_LONG = 200  # characters of a command that a page does not show
# What the map's candidates change of the default with five steps, panel by panel of their figure.
_CHANGED = {
    "head": ("plain head", "head 64"),
    "stem": ("stem 3 steps", "stem 15 steps", "stem 15 steps, frozen", "stem eps 1e-2", "stem channel"),
    "the other layers": ("channel 16", "full 8", "full 16", "7 steps"),
    "all": ("default", "channel", "paper", "whitened stem, batch norm", "batch norm"),
}
_README_DATA, _README_NORMS = ("cifar10", "fashion_mnist", "digits"), ("batch norm", "default")
Row = Mapping[str, Any]


def load(path: Path) -> dict[str, Any]:
    """Read one results file; raises ValueError naming the file when a key is missing or rows differ."""
    table = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in KEYS if key not in table]
    if missing:
        raise ValueError(f"{path.name} lacks {missing}")
    for rows in (table["rows"], *(part["rows"] for part in table.get("parts", []))):
        if not rows or any(list(row) != list(rows[0]) for row in rows):
            raise ValueError(f"{path.name}: rows must be present and have the same keys in the same order")
    return table


def cell(value: object) -> str:
    """A value as the table shows it; lists (one entry an epoch) with spaces between."""
    if isinstance(value, list):
        return " ".join(map(cell, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).replace("|", "\\|")


def compact(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as they are shown: a column ``X, quartiles`` stands in brackets behind the value of ``X``."""
    ending = ", quartiles"
    return [
        {
            key: f"{cell(value)} ({cell(row[key + ending])})" if row.get(key + ending) else value
            for key, value in row.items()
            if not key.endswith(ending)
        }
        for row in rows
    ]


def render_rows(rows: Sequence[Row]) -> str:
    """Rows with the same keys as a Markdown table, without columns that are empty throughout."""
    rows = compact(rows)
    columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(row[key]) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def origin(table: Row, file: str = "") -> str:
    """Where a table comes from: its command, which is in the file where it is long."""
    seeds = ", ".join(map(str, table["seed"] if isinstance(table["seed"], list) else [table["seed"]]))
    command = f"`{table['command']}`"
    if file:
        rows = table["command"].partition(" '")[0]
        short = command if len(command) <= _LONG else f"`{rows} ...` with the rows named there"
        command = f"[{file}](../results/{file}), {short}"
    return f"{command}; seed {seeds}; {table['hardware']}; {cell(table['minutes'])} minutes."


def render_table(table: Row, file: str = "") -> str:
    """One results file as Markdown: title, table, where it comes from, note, further tables."""
    lines = [f"### {table['name']}", "", render_rows(table["rows"]), "", origin(table, file)]
    lines += ["", table["note"]] if table.get("note") else []
    for part in table.get("parts", []):
        lines += ["", f"#### {part['name']}", "", render_rows(part["rows"])]
    return "\n".join(lines)


def render(folder: Path) -> str:
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
    return "\n\n".join([BEGIN, render_rows(_readme_rows(table)), origin, END])


def _readme_rows(table: Row) -> list[Row]:
    found = {(row["data"], row["normalisation"]): row for row in table["rows"]}
    return [found[data, norm] for data in _README_DATA for norm in _README_NORMS]


def render_performance(folder: Path) -> str:
    """The page of performance, markers included: one short table each for steps, memory and evaluation."""
    parts = {
        "Training steps: seconds against batch norm's": _steps(folder),
        "Training steps of networks a quarter as wide, and what torch is called for in one": _narrow(folder),
        "Memory kept for the backward pass, against batch norm's": _memory(folder),
        "Evaluation: seconds against the bare convolution network's": _inference(folder),
        "The former library (7c809aa) and the present one, against batch norm": _former(folder),
    }
    blocks = [f"### {title}\n\n{render_rows(rows)}" for title, own in parts.items() if (rows := list(own))]
    return "\n\n".join([BEGIN, *(blocks or ["No measurements are recorded yet."]), END])


def _measured(folder: Path, kind: str) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """What a row of a network begins with, and the rows of its file."""
    for network, title in NETWORKS.items():
        for device in ("cpu", "cuda"):
            for dtype in DTYPES:
                file = folder / f"{kind}-{network}-{dtype}-{device}.json"
                if file.exists():
                    yield {"network": title, "device": f"{device.upper()}, {dtype}"}, load(file)["rows"]


def _steps(folder: Path) -> Iterator[Row]:
    for named, rows in _measured(folder, "training-step"):
        yield named | _picked({row["variant"]: row["to batch norm"] for row in rows})


def _narrow(folder: Path) -> Iterator[Row]:
    """Of every narrow network: ratios of steps, and calls by kind of operation."""
    for network, title in NETWORKS.items():
        for file in sorted(folder.glob(f"training-step-{network}-width*-float32-cpu.json")):
            table = load(file)
            ratios = {row["variant"]: row["to batch norm"] for row in table["rows"]}
            (calls,) = (part["rows"] for part in table["parts"])
            counted = {row["operations"]: [row[f"{name}, calls"] for name in (NORM, "default")] for row in calls}
            shown = {"views and the rest": "views", "products of matrices": "products"}
            yield {
                "network": title,
                "threads": table["hardware"].split(", ")[1].removesuffix(" threads"),
                "no norm": ratios["none"],
                "default": ratios["default"],
                **{f"calls, {name}": counted["all"][n] for n, name in enumerate(("batch norm", "default"))},
                **{f"default, {name}": counted[kind][1] for kind, name in shown.items()},
            }


def _memory(folder: Path) -> Iterator[Row]:
    files = (each for kind in ("training-step", "memory") for each in _measured(folder, kind))
    for named, rows in {tuple(named.values()): (named, rows) for named, rows in files}.values():
        megabytes = {row["variant"]: row["memory, MB"] for row in rows}[NORM]
        own = {row["variant"]: row["memory to batch norm"] for row in rows}
        yield named | {"batch norm, MB": megabytes} | _picked(own)


def _picked(found: Mapping[str, float | None]) -> dict[str, float | None]:
    names = {"batch norm": NORM, "default": "default", "channel": "channel", "full 16": "full16", "paper": "paper"}
    return {title: found.get(name) for title, name in names.items()}


def _former(folder: Path) -> Iterator[Row]:
    """Ratios of the former library and of the present one, from the processes that took turns."""
    for dtype in DTYPES:
        file = folder / f"against-{dtype}-cpu.json"
        rows = load(file)["rows"] if file.exists() else []
        found = {(row["network"], row["variant"], row["checkout"] == "here"): row for row in rows}
        for network, variant in dict.fromkeys(key[:2] for key in found if key[1] != NORM):
            pair = [found[network, variant, present] for present in (False, True)]
            ratios = {
                f"{kind}, {which}": row[f"{kind} / batch norm"]
                for kind in ("step", "memory")
                for which, row in zip(("former", "present"), pair, strict=True)
            }
            yield {"network": NETWORKS[network], "device": f"CPU, {dtype}", "setting": variant} | ratios


def _inference(folder: Path) -> Iterator[Row]:
    names = {"batch norm": NORM, "batch norm, fused": f"{NORM}, fused", "paper, folded": "paper, folded"}
    for named, rows in _measured(folder, "inference"):
        found = {row["network"]: row["to no norm"] for row in rows}
        yield named | {shown: found.get(name) for shown, name in (names | {"published layers": "published"}).items()}


def render_fine_tuning(folder: Path) -> str:
    """The page of fine-tuning's block, markers included: the table, and its accuracies in words."""
    file = folder / "fine-tuning.json"
    if not file.exists():
        return "\n\n".join([BEGIN, "Not measured yet: the runs take an hour of one core.", END])
    table = load(file)
    words = [_compared([row for row in table["rows"] if row["images"] == n]) for n in _numbers(table["rows"])]
    return "\n\n".join([BEGIN, *words, render_rows(table["rows"]), origin(table), END])


def _numbers(rows: Sequence[Row]) -> list[int]:
    return list(dict.fromkeys(row["images"] for row in rows))


def _compared(rows: Sequence[Row]) -> str:
    """How far every further candidate is from the first; within the two spreads together it says nothing."""
    first, *others = rows
    words = []
    for row in others:
        if None in (row["accuracy"], first["accuracy"], row["spread"], first["spread"]):
            words.append(f"{row['candidate']} is not finished")
            continue
        difference = row["accuracy"] - first["accuracy"]
        far = abs(difference) > row["spread"] + first["spread"]
        words.append(
            f"{row['candidate']} is {abs(difference):.1f} points {'above' if difference > 0 else 'below'}"
            + ("" if far else ", within the spread over seeds")
        )
    given = "-" if first["accuracy"] is None else f"{first['accuracy']:.1f} %"
    return f"With {first['images']} images {first['candidate']} reaches {given}; {'; '.join(words)}."


def draw(folder: Path, figures: Path) -> None:
    """README's figure, of its table's rows, and that of the map's candidates."""
    from netdeconv.viz import rate_map

    figures.mkdir(parents=True, exist_ok=True)
    rate_map(_readme_rows(load(folder / "learning-rates.json"))).savefig(figures / "learning-rates.png", dpi=110)
    candidates = folder / "learning-rates-candidates.json"
    if candidates.exists():
        own = {row["normalisation"]: row for row in load(candidates)["rows"] if row["data"] == "cifar10"}
        panels = ((title, ("5 steps", *names)) for title, names in _CHANGED.items())
        rows = [own[name] | {"data": title} for title, names in panels for name in names if name in own]
        rate_map(rows).savefig(figures / "candidates.png", dpi=110)


def replace_block(text: str, block: str) -> str:
    """``text`` with what stands between the markers replaced; raises ValueError without markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the page needs exactly one {BEGIN} and one {END}")
    return text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]


def update(page: Path, block: str, *, check: bool) -> int:
    """Rewrite a page's block, or only tell whether it is up to date; returns the exit status."""
    before = page.read_text(encoding="utf-8")
    after = replace_block(before, block)
    if check:
        print(f"{page.name} is {'up to date' if before == after else 'not what results/ says'}")
        return int(before != after)
    page.write_text(after, encoding="utf-8")
    return 0


def main() -> int:
    """Rewrite the blocks of all pages and the figures, or check the pages; returns the exit status."""
    check, results = "--check" in sys.argv[1:], REPOSITORY / "results"
    if not check:
        draw(results, REPOSITORY / "docs" / "figures")
    blocks = {
        "README.md": render_readme(results),
        "docs/results.md": render(results),
        "docs/performance.md": render_performance(results / "benchmarks"),
        "docs/fine-tuning.md": render_fine_tuning(results),
    }
    return max([update(REPOSITORY / page, block, check=check) for page, block in blocks.items()])


if __name__ == "__main__":
    raise SystemExit(main())
