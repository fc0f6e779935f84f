"""Where kernels run: on a GPU, or in Triton's interpreter on the processor.

Triton decides when it is imported whether kernels are interpreted, and by then another test may have imported it. So
the interpreter is for a process of its own: ``test_package.py`` starts one that runs the same tests once more.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if INTERPRETED:
    import triton.language as tl
    from triton.runtime import interpreter

    # Each sum and product of integers is made twice to look for overflow, a third of the time; here all are small.
    builder = interpreter.interpreter_builder
    builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)
    # Every call of a function within a kernel looks through the whole language for what it replaces.
    builtins = functools.cache(
        lambda package: [name for name, each in inspect.getmembers(package) if tl.core.is_builtin(each)]
    )

    def replace(package, builder, scope) -> None:
        for name in builtins(package):
            if tl.core.is_builtin(each := getattr(package, name)):
                interpreter._patch_attr(package, name, each, builder, scope)

    interpreter._patch_builtin = replace

if not INTERPRETED and not torch.cuda.is_available():
    collect_ignore = ["test_patches.py", "test_roots.py"]


@pytest.fixture(scope="session")
def device() -> str:
    """The device whose tensors go to a kernel."""
    return "cpu" if INTERPRETED else "cuda"
