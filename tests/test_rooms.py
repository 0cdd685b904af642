"""The walls that import-linter cannot see."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

CODE = [path for room in ("srcore", "flows") for path in sorted((ROOT / room).rglob("*.py"))]
LARGEST = 26
"""Modules of a folder: with more of them nobody sees what it is about."""


def imported(path: Path) -> Iterator[str]:
    """Every name that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_room_imports_the_bare_package() -> None:
    """The face is for users: whoever imports it from below pulls everything in."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CODE}
    modules |= {name.removesuffix(".__init__") for name in modules}
    for path in CODE:
        for name in imported(path):
            bare = name == "srcore" or (name.startswith("srcore.") and name.count(".") == 1 and name not in modules)
            assert not bare, f"{path.relative_to(ROOT)} imports {name}"


def test_no_folder_is_a_heap() -> None:
    counts = Counter(path.parent for path in CODE if path.name != "__main__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > LARGEST} == {}
