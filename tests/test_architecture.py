"""Dependencies point downward only, and the library part needs torch alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "netdeconv"

# A part may import parts with a smaller number; parts with the same number stand beside each other and
# may not import each other. "" is the package's __init__, which re-exports the library.
FLOORS = {
    "kernels": 0,
    "linalg": 1,
    "nn": 2,
    "surgery": 3,
    "health": 3,
    "": 4,
    "lazy": 0,  # standard library only
    "export": 5,  # files for deployment, of any model
    "lookup": 0,  # the nearest known name, for error messages: standard library only
    "models": 5,
    "data": 5,
    "training": 6,
    "tasks": 7,
    "viz": 7,
    "published": 4,
    "report": 8,
    "experiments": 8,
    "cli": 9,
    "__main__": 10,
}
LIBRARY = {"kernels", "linalg", "nn", "surgery", "health", "published", ""}
TRAINING_ONLY = (
    "torchvision",
    "lightning_fabric",
    "torchmetrics",
    "rich",
    "matplotlib",
    "optuna",
    "sklearn",
    "tensorboard",
    "plotly",
    "jinja2",
    "tyro",
)


def part_of(module: str) -> str:
    """``netdeconv.nn.conv`` belongs to ``nn``; ``netdeconv`` and names taken from it to ``""``."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def module_name(path: Path) -> str:
    pieces = ["netdeconv", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)


def is_part(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_name(path).split(".")
                package = package if path.name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            if base == "netdeconv":
                names = (f"netdeconv.{a.name}" if is_part(a.name) else base for a in node.names)
                yield from ((node.lineno, name) for name in names)
            else:
                yield node.lineno, base


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_there_is_something_to_check():
    assert len(SOURCES) > 5


def test_a_relative_import_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "nn").mkdir()
    (tmp_path / "tasks").mkdir()
    file = tmp_path / "nn" / "conv.py"
    file.write_text("from ..tasks import loss\nfrom .linear import x\nfrom netdeconv import tasks\nimport torch.nn\n")
    assert list(imports(file)) == [
        (1, "netdeconv.tasks"),
        (2, "netdeconv.nn.linear"),
        (3, "netdeconv.tasks"),
        (4, "torch.nn"),
    ]


def test_imports_point_downward():
    upward = []
    for path in SOURCES:
        own = part_of(module_name(path))
        assert own in FLOORS, f"{own} has no floor: give it one in FLOORS, with the others' agreement"
        for line, name in imports(path):
            other = part_of(name)
            if name.split(".")[0] == "netdeconv" and other != own and not FLOORS.get(other, 99) < FLOORS[own]:
                upward.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not upward


def test_the_library_imports_torch_and_the_standard_library_only():
    allowed, foreign = {"torch", "netdeconv", *sys.stdlib_module_names}, []
    for path in SOURCES:
        part = part_of(module_name(path))
        for line, name in imports(path) if part in LIBRARY else ():
            if name.split(".")[0] not in allowed | ({"triton"} if part == "kernels" else set()):
                foreign.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not foreign


def test_figures_choose_no_backend_and_open_no_pyplot():
    named = [name for path in SOURCES for _, name in imports(path)]
    assert any(name.startswith("matplotlib") for name in named)
    assert not [name for name in named if name.startswith(("matplotlib.pyplot", "pylab"))]
    assert not [path for path in SOURCES if "matplotlib.use(" in path.read_text(encoding="utf-8")]


def test_importing_the_library_loads_nothing_of_the_training_extra_and_no_triton():
    """Everything of it: its packages import their modules when a name is first asked for."""
    code = (
        "import sys\n"
        f"for name in {sorted(LIBRARY)!r}:\n"
        '    exec(f\'from {"netdeconv." + name if name else "netdeconv"} import *\')\n'
        f"print([m for m in {(*TRAINING_ONLY, 'triton')!r} if m in sys.modules], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
