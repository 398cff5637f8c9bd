"""Notebooks and pages import from public modules only, and these export all of `__all__`."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, blocks
from tests.docs.interface import FACES

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OFFERED = ("chatlab", *FACES)
LAZY = [face for face in OFFERED if hasattr(importlib.import_module(face), "_HOMES")]


def code_of(path: Path) -> Iterator[str]:
    """Yield the Python code of a notebook or a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        yield from ("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    else:
        yield from (block.text for block in blocks(text) if block.language in ("py", "python"))


def beyond_faces(code: str) -> list[str]:
    """Return the names that code imports from chatlab and that no public module exports."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] == "chatlab" and name not in OFFERED]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "chatlab":
            module = node.module or ""
            offered = importlib.import_module(module).__all__ if module in OFFERED else ()
            found += [f"{module}.{alias.name}" for alias in node.names if alias.name not in offered]
    return found


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=lambda path: path.name)
def test_it_imports_from_faces_only(path: Path) -> None:
    assert [name for code in code_of(path) for name in beyond_faces(code)] == []


def test_an_import_from_elsewhere_is_noticed() -> None:
    code = (
        "import chatlab, chatlab.hub.room\nfrom chatlab.sim.faults import HalfOpen\nfrom chatlab import hub"
    )
    assert beyond_faces(code) == ["chatlab.hub.room", "chatlab.sim.faults.HalfOpen", "chatlab.hub"]


def test_notebooks_and_pages_have_code() -> None:
    assert sum("chatlab" in code for path in (*NOTEBOOKS, *PAGES) for code in code_of(path)) > 40


@pytest.mark.parametrize("face", OFFERED)
def test_a_face_offers_what_it_says(face: str) -> None:
    module = importlib.import_module(face)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("face", LAZY)
def test_a_lazy_face_loads_what_type_checkers_see(face: str) -> None:
    module = importlib.import_module(face)
    seen = {
        (node.module, alias.name)
        for block in ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {(f"chatlab.{home}", name) for home, names in module._HOMES.items() for name in names.split()}
    assert seen == homes
    assert sorted(module.__all__) == sorted(name for _, name in homes if name != "__version__")


def test_importing_a_face_loads_nothing_that_waits_for_its_first_use() -> None:
    script = f"import json, sys, {', '.join(LAZY)}; print(json.dumps([*sys.modules]))"
    output = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    assert {"asyncio", "httpx", "msgspec", "numpy", "simpy"} & set(json.loads(output)) == set()
