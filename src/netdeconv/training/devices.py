"""Which processes and devices a run uses, in which number format, and settings of the process while it lasts."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import logging
import os
import platform
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from netdeconv.training.config import DeviceName, Precision

# What a shell reports of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM
Resolved = Literal["32-true", "bf16-mixed", "16-mixed"]
# Settings of mallopt, from the C library's malloc.h: never shrink the heap, never map a single buffer; and the values
# that the library itself reaches with large buffers.
_KEPT, _ADAPTED = {-1: -1, -4: 0}, {-1: 2**26, -3: 2**25, -4: 2**16}


def device_type(requested: DeviceName) -> str:
    """Return ``"cuda"``, ``"mps"`` or ``"cpu"``: the requested one, or the best there is.

    Raises:
        ValueError: when CUDA was asked for and is not there.
    """
    if requested == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this machine has no CUDA device that torch can use")
    if requested != "auto":
        return requested
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def build_fabric(device: DeviceName, precision: Precision) -> tuple[Fabric, str]:
    """Return Fabric for the processes that torchrun started, or for this one, and its precision.

    Raises:
        ValueError: when the device is not there, or cannot do the precision.
    """
    kind = device_type(device)
    resolved = resolve_precision(precision, torch.device(kind))
    if resolved == "16-mixed" and kind == "cpu":
        raise ValueError("--precision 16-mixed needs a graphics card; the processor has bf16-mixed")
    world, devices = 1, 1
    if torch.distributed.is_torchelastic_launched():
        world, devices = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    strategy: DDPStrategy | str = "auto"
    if world > 1:
        # Running statistics are made equal once an epoch, not before every forward pass. torch 2.15 renamed this.
        known = inspect.signature(DistributedDataParallel).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings: dict[str, Any] = {"gradient_as_bucket_view": True, name: False}
        strategy = DDPStrategy(**settings)
    fabric = Fabric(
        accelerator=kind, devices=devices, num_nodes=world // devices, strategy=strategy, precision=resolved
    )
    fabric.launch()
    return fabric, resolved


def is_first_process() -> bool:
    """Whether this process speaks for all: the only one, or the one with number 0."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def resolve_precision(requested: Precision, device: torch.device) -> Resolved:
    """Return Fabric's name of the precision: ``"auto"`` becomes bfloat16 where it is fast."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # a processor with AMX or AVX512 instructions for bfloat16 products
        able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = device.type == "cpu" and bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return "bf16-mixed" if fast else "32-true"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which torch computes in a precision, outside of a run."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(resolve_precision(precision, device))
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


@contextlib.contextmanager
def process_settings(threads: int | None) -> Iterator[None]:
    """Set what belongs to the process for a run, and put it back.

    Denormal numbers are flushed to zero: late in training, momentum and decayed weights are full of them, and
    processors handle them many times slower. Freed memory is kept for the next step, which needs the same buffers: else
    the system clears every page anew, a tenth of a step on a processor.

    Args:
        threads: processor threads; ``None`` leaves torch's choice.
    """
    threads_before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    set_allocator(_KEPT)
    if threads is not None:
        torch.set_num_threads(threads)
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # With one input channel two memory formats have the same order but not the same strides; the copy that
            # the reducer warns of is of that small weight alone.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            yield
    finally:
        torch.set_flush_denormal(False)
        set_allocator(_ADAPTED)
        torch.set_num_threads(threads_before)


def set_allocator(values: dict[int, int]) -> bool:
    """Set options of GNU's C library (mallopt(3)), unless the environment sets them; return whether that was done."""
    given = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if platform.libc_ver()[0] != "glibc" or given:
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(option, value) for option, value in values.items())


@contextlib.contextmanager
def noted_termination() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM, which clusters send some seconds before they kill, instead of ending at once.

    Yields:
        Whether it has come. In a thread that is not the main one signals cannot be caught, and it never has.

    Raises:
        SystemExit: at the end, with the code of SIGTERM, when it came and nobody acted on it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    owner = os.getpid()

    def note(number: int, frame: object) -> None:
        del frame
        if os.getpid() != owner:  # a child that was forked has nothing to save
            os._exit(TERMINATED)
        received.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
    if received:
        raise SystemExit(TERMINATED)
