"""Every medical file that there is, and what becomes of it: published, or refused with a code.

    SRCORE_DATA=<folder with data/ and cases/> python -m benchmarks.medical [--model REF] [--only TEXT] > table.md

The files are those of $SRCORE_DATA, and the test files that pydicom ships. A folder of slices is one row, as a scene.
Each goes through a whole run, from plan to receipt, to NIfTI. Without `--model` each is read to the last voxel, and
nothing is made of it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom

from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.header import Header
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


def outcome(path: Path, model: str | None) -> str:
    """`published`, or `read`, with the shape and what is said of it, or the code and the message of the refusal."""
    try:
        if model is None:
            header, done = read_header([path], "volume"), "read"
            _read(header)
        else:
            header, done = _published(path, model)
    except SRError as error:
        return f"`{error.code}` | {_short(error, path)}"
    steps = " x ".join(f"{step:.3g}" for step in header.grid.spacing())
    told = [f"{' x '.join(map(str, header.grid.shape))} of {steps} mm, {header.dtype}"]
    told += [flag for flag in header.flags if not flag.startswith("dropped")]
    return f"{done} | {'; '.join(told)}"


def _read(header: Header) -> None:
    with open_scene(header) as reader:
        depth, height, width = header.grid.shape
        for start in range(0, depth, SLABS):
            reader.read((slice(start, min(start + SLABS, depth)), slice(0, height), slice(0, width)))


def _published(path: Path, model: str) -> tuple[Header, str]:
    """Its header, and what its checks say, with those that do not pass."""
    with TemporaryDirectory() as folder:
        job = direct_job(str(path), Path(folder) / "sr.nii.gz", model=model, kind="volume")
        receipt = run_scene(job, Workers(0))
    assert receipt is not None
    odd = [f"`{check['id']}`" for check in receipt.checks if check["kind"] == "WARN" and not check["passed"]]
    header = replace(read_header([path], "volume"), flags=tuple(receipt.flags))
    return header, "published" + (f", warns of {', '.join(odd)}" if odd else "")


def _short(error: SRError, path: Path) -> str:
    """What is wrong and what was found, without the folder and within a line."""
    return f"{error.what}; {error.found}".replace(str(path), path.name)[:160].replace("|", "/")


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--only", default="", help="files whose name contains this")
    given = parser.parse_args()
    print("| file | outcome | what is said |\n|---|---|---|", flush=True)
    for name, path in places():
        if given.only in name:
            print(f"| {name} | {outcome(path, given.model)} |", flush=True)


if __name__ == "__main__":
    main()
