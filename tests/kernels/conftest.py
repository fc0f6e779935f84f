"""Where kernels run: on a GPU, or in Triton's interpreter on the processor.

Triton decides when it is imported whether kernels are interpreted, and by then another test may have imported it. So
the interpreter is for a process of its own: ``test_package.py`` starts one that runs the same tests once more.
"""

from __future__ import annotations

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if not INTERPRETED and not torch.cuda.is_available():
    collect_ignore = ["test_patches.py", "test_roots.py"]


@pytest.fixture(scope="session")
def device() -> str:
    """The device whose tensors go to a kernel."""
    return "cpu" if INTERPRETED else "cuda"
