"""``netdeconv export``: a finished network as files that run without this library."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import itertools
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from netdeconv.cli.parser import parse

if TYPE_CHECKING:
    from torch import Tensor

    from netdeconv.export import Agreement
    from netdeconv.tasks.trained import TrainedNetwork

Format = Literal["onnx", "int8", "program", "weights", "package"]
FILES: dict[Format, str] = {
    "onnx": "model.onnx",
    "int8": "model-int8.onnx",
    "program": "model.pt2",
    "weights": "model.safetensors",
    "package": "model-compiled.pt2",
}
# Training batches that show the range of activations, for int8.
_CALIBRATION = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Fold a run's network and write it: ONNX, int8 ONNX, a program of torch.export, safetensors, AOTInductor.

    Args:
        run: run directory of netdeconv train or netdeconv segment.
        formats: onnx, int8, program (torch.export), weights (safetensors), package (AOTInductor).
        output: folder for the files; else export in the run directory.
        check: compare every file that can be run with the network, on all evaluation images.
        data_dir: folder with the data sets, where it is not the run's; int8 and the check read images.
        threads: processor threads; else torch's choice.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    formats: tuple[Format, ...] = ("onnx",)
    output: str = ""
    check: bool = True
    data_dir: str | None = None
    threads: int | None = None


def main(arguments: Sequence[str]) -> int:
    """Write the files, and export.json about them."""
    options = parse(Options, arguments, prog="netdeconv export")
    from netdeconv.tasks.trained import load_trained
    from netdeconv.training.devices import process_settings
    from netdeconv.training.plain import to_plain

    packages = ("torch", *(name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name)))
    with process_settings(options.threads):
        trained = load_trained(options.run)
        folder = Path(options.output).expanduser() if options.output else trained.path / "export"
        folder.mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {
            "command": f"netdeconv export {shlex.join(arguments)}",
            "trained": to_plain(trained.config) | {"result_path": None},
            "versions": {name: importlib.metadata.version(name) for name in packages},
            "input": {"name": "images", "shape": ["batch", *trained.info.shape], "dtype": "float32"},
            "normalisation": {"mean": trained.info.mean, "std": trained.info.std, "of": "pixels from 0 to 1"},
            "classes": list(trained.class_names),
            "files": {},
        }
        for form in options.formats:
            path = folder / FILES[form]
            write(trained, form, path, options.data_dir)
            found = check(trained, form, path, options) if options.check else None
            about["files"][path.name] = {"format": form, **(dataclasses.asdict(found) if found else {})}
            print(f"{path}: {_in_words(found)}")
        (folder / "export.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return 0


def write(trained: TrainedNetwork, form: Format, path: Path, data_dir: str | None = None) -> None:
    """Write one file.

    Raises:
        ExportError: when the format cannot hold the network, or a package is absent.
    """
    import torch

    from netdeconv import export

    example = torch.zeros(2, *trained.info.shape)
    if form == "int8":
        batches = itertools.islice(trained.batches("train", data_dir=data_dir), _CALIBRATION)
        export.to_int8(trained.scorer, example, path, batches=(images.contiguous() for images, _ in batches))
    elif form == "weights":
        export.to_safetensors(trained.network, path)
    else:
        {"onnx": export.to_onnx, "program": export.to_program, "package": export.to_package}[form](
            trained.scorer, example, path
        )


def check(trained: TrainedNetwork, form: Format, path: Path, options: Options) -> Agreement | None:
    """Compare a file's outputs with the network's on all evaluation images; ``None``: weights alone compute nothing."""
    import torch

    from netdeconv import export

    if form == "weights":
        return None
    run: Callable[[Tensor], Tensor]
    if form == "program":
        run = torch.export.load(path).module()
    elif form == "package":
        run = export.run_package(path)
    else:
        run = export.run_onnx(path, threads=options.threads or 0)
    return export.agreement(trained.scorer, run, trained.batches("evaluation", data_dir=options.data_dir))


def _in_words(found: Agreement | None) -> str:
    if found is None:
        return "written"
    return (
        f"same class for {found.same_top1} of {found.predictions}, accuracy {found.accuracy_exported:.2f} % "
        f"(the run's network {found.accuracy:.2f}), outputs differ by {found.difference:.1e} of the largest"
    )
