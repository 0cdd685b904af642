"""Every medical file that there is, and what becomes of it: read to the last voxel, or refused with a code.

    SRCORE_DATA=<folder with data/ and cases/> python -m benchmarks.medical > table.md

The files are those of $SRCORE_DATA, and the test files that pydicom ships. A folder of slices is one row, as a scene.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pydicom

from srcore.errors import SRError
from srcore.storage.scene import open_scene, read_header

SLABS = 8
"""Slices read at a time."""


def places() -> Iterator[tuple[str, Path]]:
    """A name without its machine's folders, and the file or folder of a scene."""
    shared = Path(os.environ.get("SRCORE_DATA", "../shared"))
    roots = {"data": shared / "data/medical", "cases": shared / "cases/medical"}
    roots["pydicom"] = Path(pydicom.__file__).parent / "data/test_files"
    for name, root in roots.items():
        for path in sorted(root.rglob("*")):
            inside = list(path.iterdir()) if path.is_dir() else []
            if path.is_dir() and not any(one.is_dir() for one in inside) and not _is_loose(inside):
                yield f"{name}: {path.relative_to(root)}/", path
            elif path.is_file() and (path.parent == root or _is_loose(list(path.parent.iterdir()))):
                yield f"{name}: {path.relative_to(root)}", path


def _is_loose(files: list[Path]) -> bool:
    """Files that lie together by chance: volumes, or single slices under names of their own."""
    return any(one.name.endswith((".nii", ".nii.gz")) or one.name == "CT_small.dcm" for one in files)


def outcome(path: Path) -> str:
    """`read`, with the shape and what is said of it, or the code and the message of the refusal."""
    try:
        header = read_header([path], "volume")
        with open_scene(header) as reader:
            depth, height, width = header.grid.shape
            for start in range(0, depth, SLABS):
                reader.read((slice(start, min(start + SLABS, depth)), slice(0, height), slice(0, width)))
    except SRError as error:
        return f"`{error.code}` | {_short(error, path)}"
    steps = " x ".join(f"{step:.3g}" for step in header.grid.spacing())
    flags = "; ".join(flag for flag in header.flags if not flag.startswith("dropped"))
    return (
        f"read | {' x '.join(map(str, header.grid.shape))} of {steps} mm, {header.dtype}{'; ' if flags else ''}{flags}"
    )


def _short(error: SRError, path: Path) -> str:
    """What is wrong and what was found, without the folder and within a line."""
    return f"{error.what}; {error.found}".replace(str(path), path.name)[:160].replace("|", "/")


def main() -> None:
    """The table, as Markdown."""
    print("| file | outcome | what is said |\n|---|---|---|")
    for name, path in places():
        print(f"| {name} | {outcome(path)} |")


if __name__ == "__main__":
    main()
