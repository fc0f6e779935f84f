"""The measurements are run from the repository's root, so they are imported from there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]

if str(REPOSITORY) not in sys.path:
    sys.path.append(str(REPOSITORY))


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """A measurement flushes denormal numbers to zero; other tests may want them."""
    yield
    torch.set_flush_denormal(False)
