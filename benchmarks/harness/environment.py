"""The process that measures: its settings, and what is said about it beside the numbers.

Needs torch alone, so that it runs on a machine without the extra "train".
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import netdeconv

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Folders differ between machines, and have no place in a results file.
_PRIVATE = ("--output", "--data-dir", "--other")


def prepare(device: str, threads: int | None) -> torch.device:
    """Settings of the process, as training makes them: threads, and denormal numbers flushed to zero.

    Raises:
        RuntimeError: when ``device`` is "cuda" and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("--device cuda: torch finds no CUDA device here")
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.device(device)


def synchronizer(device: torch.device) -> Callable[[], None]:
    """A function that waits until the device has finished."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def versions() -> dict[str, str]:
    """Of Python and of the packages that a measurement depends on."""
    torch_version = torch.__version__.partition("+")[0]
    found = {"python": platform.python_version(), "torch": torch_version, "netdeconv": netdeconv.__version__}
    for package in ("torchvision", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if torch.cuda.is_available() and torch.version.cuda is not None:
        found["cuda"] = torch.version.cuda
    return found


def hardware(device: torch.device) -> str:
    """Processor, threads and what it multiplies bfloat16 with; the graphics card in front, where one is used."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    has = {True: "with", False: "without"}
    amx, avx = (has[bool(capabilities.get(name))] for name in ("amx_bf16", "avx512_bf16"))
    processor = str(capabilities.get("cpu_name") or _processor_name())
    text = f"{processor}, {torch.get_num_threads()} threads, {amx} AMX, {avx} AVX-512 bfloat16"
    return f"{torch.cuda.get_device_name(device)}; {text}" if device.type == "cuda" else text


def _processor_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def command(module: str, arguments: Sequence[str]) -> str:
    """The command line that repeats a measurement, without the folders of this machine."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and not argument.startswith(_PRIVATE):
            kept.append(argument)
        skip = argument in _PRIVATE  # its value is the next argument
    return shlex.join(["python", "-m", f"benchmarks.{module}", *kept])
