"""What in a folder is ours. A record of ours that lies there proves it, never a name: the archive is the user's.

product files    named by the receipt beside them, or by the record of a publication that was interrupted
scratch folders  hold a sealed plan that names them
links            are never followed below the folder that the user chose
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from srcore.errors import PlanError, StoreError
from srcore.layout import PLAN, PUBLISHING, ProductPaths
from srcore.storage.archive.publish import interrupted, names_below, own_names
from srcore.storage.disk.files import fsync_folder
from srcore.storage.disk.records import read_sealed, write_sealed

ROUND = "round.json"
_UNFINISHED_PLAN = re.compile(rf"\.{re.escape(PLAN)}\.[0-9a-f]{{8}}\.part")


def refuse_links(chosen: Path, *below: Path) -> None:
    """StoreError LINK where a part of a path below the folder that the user chose is a link."""
    for path in below:
        parts = path.relative_to(chosen).parts
        for depth in range(1, len(parts) + 1):
            part = chosen.joinpath(*parts[:depth])
            if part.is_symlink():
                raise StoreError(
                    f"{part} is a link: srcore writes nothing through it",
                    f"it leads to {os.readlink(part)}",
                    "move it away",
                    code="LINK",
                )


def refuse_strangers(
    product: ProductPaths, written: Sequence[Path], inputs: Collection[Path], scratch: Path, *, overwrite: bool
) -> None:
    """PlanError BAD_OUTPUT or OUTPUT_EXISTS where a file that will be written is an input, or is there and not ours.

    What is ours is replaced with `overwrite`, and where the last run ended while it published.
    """
    there = list(filter(os.path.lexists, written))
    begun = interrupted(scratch)
    ours = begun | own_names(product) if there else begun  # on an object store nothing of it lies here
    replace = overwrite or (bool(begun) and not os.path.lexists(product.receipt))
    for path in there:
        if any(_is_same(path, one) for one in inputs):
            raise PlanError(f"{path} is the input", "", "give another output", code="BAD_OUTPUT")
        if product.is_folder and path == product.data and path.is_dir() and not path.is_symlink():
            if not (inside := names_below(path)):
                continue  # nobody's: made for this
            _refuse_inside(path, [name for name in inside if f"{path.name}/{name}" not in ours])
        elif path.is_dir():
            raise PlanError(f"{path} is a folder", "", "give a file name", code="BAD_OUTPUT")
        elif path.name not in ours or path.is_symlink():
            raise PlanError(
                f"{path} exists", "no receipt of srcore names it", "move it, or use another name", code="OUTPUT_EXISTS"
            )
        if not replace:
            raise PlanError(f"{path} exists", "", "use --overwrite or another name", code="OUTPUT_EXISTS")


def _refuse_inside(folder: Path, strangers: Sequence[str]) -> None:
    if strangers:
        found = f"{len(strangers)} files in it that no receipt of srcore names"
        raise PlanError(f"{folder} is not empty", found, "give another folder", code="OUTPUT_EXISTS")


def _is_same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False  # one of them is not there


def is_ours(folder: Path) -> bool:
    """True for a scratch folder: the sealed plan in it names it. False for a link, and for a stranger's folder."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:  # the end of its path: an archive may be moved as a whole
        return Path(str(read_sealed(folder / PLAN)["scratch"])).parts[-2:] == folder.parts[-2:]
    except (StoreError, KeyError):
        return all(_UNFINISHED_PLAN.fullmatch(entry.name) for entry in folder.iterdir())


def mark_round(folder: Path) -> None:
    """Say in the folder of a retraining that srcore made it."""
    write_sealed(folder / ROUND, {"round": folder.name})


def is_round(folder: Path) -> bool:
    """True for the folder of a retraining: the sealed mark in it names it. False for a link, and for a stranger's."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        return bool(read_sealed(folder / ROUND)["round"] == folder.name)
    except (StoreError, KeyError):
        return False


def remove_ours(folder: Path) -> bool:
    """Remove a scratch folder, its plan last: what a crash leaves of it is still ours. False for a stranger's."""
    if not is_ours(folder):
        return False
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == PLAN):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != PLAN or _holds_only(folder, PLAN):
            with suppress(OSError):  # what stays is swept next time
                if entry.name == PLAN:
                    fsync_folder(folder)  # a power cut must not bring back the rest without what makes it ours
                entry.unlink()
    with suppress(OSError):
        folder.rmdir()
    return True


def _holds_only(folder: Path, name: str) -> bool:
    return [entry.name for entry in folder.iterdir()] == [name]


def written_files(product: ProductPaths, outputs: Iterable[str]) -> list[Path]:
    """What a run with these outputs writes under published names, the data and its receipt first."""
    wanted = set(outputs)
    optional = {
        "stac": [product.stac],
        "quicklook": [product.quicklook],
        "report": [product.report, product.page],
        "trust": [product.trust],
        "zarr": [product.cube],
    }
    beside = [path for name, paths in optional.items() if name in wanted for path in paths]
    return [product.data, product.receipt, *beside]


def clear_scratch(folder: Path) -> None:
    """Remove a scratch folder, once its product is published, and its parent when nothing else is in it."""
    remove_ours(folder)
    forget_publishing(folder.parent)
    with suppress(OSError):  # another configuration's work is still there
        folder.parent.rmdir()


def forget_publishing(scratch: Path) -> None:
    """Remove the record that a publication began, once all else that it left is gone from the disk.

    It stays where a full disk cannot say so: the product is complete, and the next night forgets it.
    """
    with suppress(OSError):
        fsync_folder(scratch)  # with the record alone lost in a power cut, what is left would be nobody's
        (scratch / PUBLISHING).unlink()
