"""The folder that a training writes into: its own, or one with nothing of anybody's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from srcore.checkpoints import SPEC, read_spec
from srcore.errors import CheckpointError, PlanError
from srcore.storage.disk.files import store_error
from srcore.training.fit.state import STATE

CARD = "README.md"


def refuse_foreign_output(folder: Path) -> None:
    """Make the folder; PlanError OUTPUT_EXISTS where a file that a training would replace is no part of a checkpoint,
    StoreError where no folder can be."""
    _make(folder)
    there = [name for name in (SPEC, CARD) if (folder / name).exists()]
    if there and not (folder / STATE).exists():
        try:
            read_spec(folder)
        except CheckpointError:
            raise _refused(folder, there) from None


def refuse_used_output(folder: Path) -> None:
    """As `refuse_foreign_output`; PlanError OUTPUT_EXISTS also where a checkpoint stands, which a new training would
    replace."""
    refuse_foreign_output(folder)
    other = "name another output in the recipe"
    if (folder / STATE).exists():
        raise PlanError(f"{folder} holds a training", STATE, f"go on with --resume, or {other}", code="OUTPUT_EXISTS")
    if (folder / SPEC).exists():
        raise PlanError(f"{folder} holds a checkpoint", SPEC, other, code="OUTPUT_EXISTS")


def refuse_foreign_pack(folder: Path, ours: Collection[str]) -> None:
    """Make the folder; PlanError OUTPUT_EXISTS where it holds anything else than a pack's files, StoreError where no
    folder can be."""
    _make(folder)
    there = sorted(path.name for path in folder.iterdir())
    if others := [name for name in there if name not in ours]:
        raise _refused(folder, others)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(folder, error) from error


def _refused(folder: Path, names: Collection[str]) -> PlanError:
    return PlanError(
        f"{folder} holds what no training has made",
        ", ".join([*names][:3]),
        "give another folder",
        code="OUTPUT_EXISTS",
    )
