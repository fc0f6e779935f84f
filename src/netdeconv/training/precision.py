"""Which number format is fast on this machine, and settings of the process while a run lasts."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import torch

from netdeconv.training.allocator import kept_memory
from netdeconv.training.config import Precision

Resolved = Literal["32-true", "bf16-mixed", "16-mixed"]


def resolve_precision(requested: Precision, device: torch.device) -> Resolved:
    """Return Fabric's name of the precision: ``"auto"`` becomes bfloat16 where it is fast."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and _processor_multiplies_bfloat16()
    return "bf16-mixed" if fast else "32-true"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which torch computes in a precision, outside of a run."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(resolve_precision(precision, device))
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def _processor_multiplies_bfloat16() -> bool:
    """Whether the processor has AMX or AVX512 instructions for bfloat16 products."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextlib.contextmanager
def process_settings(threads: int | None) -> Iterator[None]:
    """Set what belongs to the process for a run, and put it back.

    Denormal numbers are flushed to zero: late in training, momentum and decayed weights are full
    of them, and processors handle them many times slower. Freed memory is kept for the next step.

    Args:
        threads: processor threads; ``None`` leaves torch's choice.
    """
    threads_before = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in ("lightning.fabric", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), kept_memory():
            # With one input channel two memory formats have the same order but not the same strides; the copy that
            # the reducer warns of is of that small weight alone.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            # Harmless where no activation works in place, which the loop sees to.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads_before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
