"""Where a NIfTI header says that its voxels lie, and what is wrong, or only assumed, about that.

nibabel mends a voxel size of 0 to 1, and a negative one by its sign; other readers do otherwise, and a volume that
two programs mirror is no volume to publish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError
from srcore.storage.header import LEAST_MM, MOST_MM

SHEAR = 1e-3
"""Cosine between two axes from which on they are not square to each other; float32 codes leave a thousandth of it."""
THICK = 1.5
"""Times the other two: from there on the voxels of an axis are slices."""
MM: dict[str, float] = {"meter": 1e3, "micron": 1e-3}
"""Millimetres of a header's unit; where it says none, or an unknown one, it is taken for mm, as all programs do."""
APART = 0.1
"""Of a voxel: by so much qform and sform may place a corner apart and mean the same."""


def refuse_sizes(path: Path, raw: Any, head: Any) -> None:
    """GridError where voxel sizes, as the file has them (`raw`, not mended), place the volume and cannot."""
    sizes = np.asarray(raw["pixdim"], np.float64)[1:4]
    axes = min(3, max(1, int(raw["dim"][0])))
    bad = [float(size) for size in sizes[:axes] if not np.isfinite(size) or size <= 0]
    if bad and not int(head["sform_code"]):
        raise GridError(
            f"{path}: its voxel sizes cannot be: programs read them in different ways",
            " x ".join(f"{size:g}" for size in sizes),
            "set pixdim to the true sizes, or give it an sform",
        )


def refuse_spacing(path: Path, spacing: Sequence[float]) -> None:
    """GridError where voxels, in mm, are of a size that no scan has."""
    if not all(LEAST_MM <= step <= MOST_MM for step in spacing):
        found = f"{' x '.join(f'{step:.3g}' for step in spacing)} mm"
        raise GridError(f"{path}: no scan has voxels of that size", found, "set its sform, or the unit of its sizes")


def mm_of(unit: str) -> float:
    """Millimetres of a unit of length, by nibabel's name."""
    return MM.get(unit, 1.0)


def place_flags(raw: Any, head: Any) -> Iterator[str]:
    """What a user should know of the place."""
    qform, sform = int(head["qform_code"]), int(head["sform_code"])
    sizes = " x ".join(f"{size:g}" for size in np.asarray(raw["pixdim"], np.float64)[1:4])
    if (unit := head.get_xyzt_units()[0]) in MM:
        yield f"its header counts in {unit}s: told here in mm, and written as it came"
    if not qform and not sform:
        yield (
            f"no qform or sform: placed by its voxel sizes alone ({sizes}); assumed are i from right to left, j to the "
            "front, k up, and the middle at 0"
        )
        return
    affine = np.asarray(head.get_best_affine(), np.float64)
    if (lean := shear(affine)) > SHEAR:
        degrees = float(np.degrees(np.arcsin(min(1.0, lean))))
        yield f"its axes are sheared by {degrees:.2g} degrees: ITK opens neither the source nor the product"
    if qform and sform and _apart(head, affine) > APART:
        yield "qform and sform place it differently: the sform is used, and both are kept"
    if sform and np.any(np.asarray(raw["pixdim"], np.float64)[1:4] <= 0):
        yield f"its voxel sizes ({sizes}) cannot be: those of the sform are used"


def slices_first(centred: NDArray[np.float64], named: int | None = None) -> tuple[int, int, int]:
    """Which of the file's axes (k, j, i), 0 to 2, are (Z, Y, X): as they are, or with the axis of slices first.

    Slices lie along the axis that is much coarser than both others, wherever a converter put it; where there is none,
    along the one that the header names, 0 to 2 of (i, j, k).
    """
    k, j, i = (float(step) for step in np.linalg.norm(centred[:3, 2::-1], axis=0))
    coarse = i > THICK * max(k, j), j > THICK * max(k, i), k > THICK * max(j, i)
    along = coarse.index(True) if any(coarse) else named
    return ((2, 0, 1), (1, 0, 2), (0, 1, 2))[2 if along is None else along]


def shear(affine: NDArray[np.float64]) -> float:
    """The greatest cosine between two axes of a 4 x 4 affine: 0 where they are square to each other."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(lengths).all() or not lengths.all():
        return 0.0  # no volume: refused by who makes a grid of it
    axes = affine[:3, :3] / lengths
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _apart(head: Any, affine: NDArray[np.float64]) -> float:
    """How far the farthest corner moves from sform to qform, in voxels."""
    shape = [*head.get_data_shape(), 1, 1, 1][:3]
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])], np.float64)
    moved = (np.asarray(head.get_qform(), np.float64) - affine) @ corners.T
    smallest = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    return float(np.abs(moved[:3]).max()) / smallest
