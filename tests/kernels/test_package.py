"""What can be said of the kernels without running them, and one run of their tests in Triton's interpreter."""

from __future__ import annotations

import doctest
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netdeconv import kernels
from netdeconv.kernels import patch_plan, roots

HERE = Path(__file__).resolve().parent
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# What a compute capability of 9.0 gives a block is 227 KB; two should find room.
SHARED_MEMORY = 96 * 1024

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def child(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("NETDECONV_TRITON",)}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent.parent,
        env={**inherited, **environment},
    )


def release(version: str) -> tuple[int, ...]:
    return tuple(int(piece) for piece in version.split(".")[:2])


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="this is the run in the interpreter")
def test_kernels_in_the_interpreter():
    triton = pytest.importorskip("triton")
    if release(triton.__version__) < (3, 7) and release(np.__version__) >= (2, 4):
        pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy from 2.4 on")
    files = [str(HERE / name) for name in ("test_patches.py", "test_roots.py")]
    # Triton before 3.7 makes a loop bound of an array of one entry
    ignored = "ignore:Conversion of an array with ndim > 0:DeprecationWarning"
    done = child(*("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", ignored, *files), TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_processor_has_no_kernels_without_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert not kernels.usable(torch.zeros(1))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert kernels.usable(torch.zeros(1)) == (importlib.util.find_spec("triton") is not None)
    assert not kernels.usable(torch.zeros(1, device="meta"))


def test_kernels_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("NETDECONV_TRITON", "0")
    assert not kernels.usable(torch.zeros(1))
    monkeypatch.setenv("NETDECONV_TRITON", "1")
    assert kernels.usable(torch.zeros(1)) == (importlib.util.find_spec("triton") is not None)


def test_it_works_without_triton(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(kernels.availability, "_TRITON_IS_INSTALLED", False)
    assert not kernels.usable(torch.zeros(1))


def test_asking_does_not_break_a_graph(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")

    def choose(x: torch.Tensor) -> torch.Tensor:
        square = x.reshape(2, 3, 3)
        image = x.reshape(1, 2, 3, 3)
        if kernels.usable(x):
            return x + 1
        if kernels.supports_patch_statistics(image, (1, 1)) and kernels.supports_newton_schulz_root(square):
            return x + 2
        return x + 3

    torch.compiler.reset()
    x = torch.zeros(18)
    assert torch.equal(torch.compile(choose, fullgraph=True, backend="eager")(x), x + 2)


def test_the_example_runs():
    from netdeconv.kernels import availability

    tests = doctest.testmod(availability, extraglobs={"torch": torch, "kernels": kernels})
    assert tests.attempted
    assert not tests.failed


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 20), st.integers(1, 5000), st.booleans())
def test_every_row_is_taken_once(features, matrices, blocks, samples, ieee):
    plan = patch_plan.plan_patches(features, matrices, blocks, samples, "ieee" if ieee else "tf32")
    assert features <= plan.tiles * plan.columns < features + plan.columns
    for division in (plan.sums, plan.products):
        assert division.row_share % patch_plan.ROWS == 0
        starts = range(0, division.row_splits * division.row_share, division.row_share)
        assert (division.block_splits - 1) * division.block_share < blocks
        assert division.block_splits * division.block_share >= blocks
        assert starts[-1] < samples <= starts[-1] + division.row_share
        # never more programs than fill a GPU, but for one to each result
        results = matrices * (plan.tiles if division is plan.sums else plan.pairs)
        assert division.splits == 1 or division.splits * results * plan.num_warps <= patch_plan.WARPS_WANTED


def test_roots_are_padded_to_the_next_power():
    for size in range(1, kernels.MAX_ROOT_SIZE + 1):
        padded = roots.padded(size)
        assert size <= padded <= max(16, 2 * size - 1)
        assert padded % roots.CHUNK == 0
        assert padded & (padded - 1) == 0


@pytest.mark.parametrize(
    ("x", "kernel", "supported"),
    [
        (torch.zeros(1, 2, 3, 3), (1, 1), True),
        (torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16), (3, 3), True),
        (torch.zeros(1, 2, 3, 3, dtype=torch.float16), (3, 3), True),
        (torch.zeros(1, 2, 3, 3, dtype=torch.float64), (1, 1), False),
        (torch.zeros(0, 2, 3, 3), (1, 1), False),
        (torch.zeros(4, 2), (), False),
        (torch.zeros(1, 2, 3), (1,), False),
        (torch.zeros(1, 2, 3, 3, 3), (1, 1, 1), False),
    ],
)
def test_supported_patches(x, kernel, supported):
    assert kernels.supports_patch_statistics(x, kernel) == supported


@pytest.mark.parametrize(
    ("matrix", "supported"),
    [
        (torch.zeros(1, 1, 1), True),
        (torch.zeros(3, 128, 128), True),
        (torch.zeros(3, 129, 129), False),
        (torch.zeros(3, 3), False),
        (torch.zeros(1, 3, 4), False),
        (torch.zeros(0, 3, 3), False),
        (torch.zeros(1, 0, 0), False),
        (torch.zeros(1, 3, 3, dtype=torch.float64), False),
        (torch.zeros(1, 3, 3, dtype=torch.bfloat16), False),
    ],
)
def test_supported_roots(matrix, supported):
    assert kernels.supports_newton_schulz_root(matrix) == supported


X = torch.zeros(1, 4, 3, 3)
GEOMETRY = ((2, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1, 2, 2)
A = torch.eye(3)[None]


def changed(position: int, value: object) -> tuple:
    return (*GEOMETRY[:position], value, *GEOMETRY[position + 1 :])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.patch_statistics(X.double(), *GEOMETRY), "float64"),
        (lambda: kernels.patch_statistics(X, *changed(0, (2,))), "kernel"),
        (lambda: kernels.patch_statistics(X, *changed(0, (4, 1))), "larger"),
        (lambda: kernels.patch_statistics(X, *changed(5, 3)), "channels"),
        (lambda: kernels.newton_schulz_root(torch.zeros(1, 200, 200), 5), "at most 128"),
        (lambda: kernels.newton_schulz_root(A.double(), 5), "float64"),
        (lambda: kernels.newton_schulz_root(A, 0), "num_iterations"),
        (lambda: kernels.newton_schulz_root_backward(A, A, A.double(), 5), "float64"),
        (lambda: kernels.newton_schulz_root_backward(A, A, torch.zeros(1, 2, 2), 5), "shapes differ"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_derivative_is_registered():
    leaf = A.clone().requires_grad_()
    with torch.device("meta"):
        root = kernels.newton_schulz_root(leaf.to("meta"), 2)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        root.sum().backward()


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="interpreted kernels are not compiled")
@pytest.mark.parametrize("name", ["root_forward", "root_backward", "column_sums", "tile_products", "half", "mirror"])
def test_kernels_compile_for_a_gpu_without_one(name, tmp_path, monkeypatch):
    """The interpreter runs much that the compiler refuses."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from netdeconv.kernels import patch_kernels, root_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    root = {"SIZE": 16, "CHUNK": 16}
    sums = {"stride_c": 1, "BORDER": True, "ROWS": patch_plan.ROWS, "COLS": 64}
    products = {**sums, "PRECISION": "ieee"}
    function, constants, warps, stages = {
        "root_forward": (root_kernels.root_forward, root, 1, 1),
        "root_backward": (root_kernels.root_backward, root, 1, 1),
        "column_sums": (patch_kernels.column_sums, sums, 4, 2),
        "tile_products": (patch_kernels.tile_products, products, 4, 2),
        "half": (patch_kernels.tile_products, {**products, "COLS": 128, "PRECISION": "tf32"}, 8, 2),
        "mirror": (patch_kernels.mirror, {"COLS": 64}, 4, 2),
    }[name]
    pointers = {"matrix", "result", "grad", "out", "scratch", "x", "mean", "sums", "products", "covariance"}
    types = {
        argument: "*fp32" if argument in pointers else "fp32" if argument == "rows" else "i32"
        for argument in function.arg_names
    }
    if name == "half":
        types["x"] = "*bf16"
    types |= dict.fromkeys(constants, "constexpr")
    compiled = triton.compile(
        ASTSource(fn=function, signature=types, constexprs=constants),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True},
    )
    assert compiled.asm["cubin"]
    assert compiled.metadata.shared <= SHARED_MEMORY
