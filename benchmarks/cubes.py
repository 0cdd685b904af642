"""Volumes made twice finer on all axes: what a model gives over linear and cubic splines, volume by volume.

    SRCORE_DATA=<folder with data/ and trainset/> python -m benchmarks.cubes [--model NAME] [--only TEXT]

Each volume is seen by its own 2,2,2 LR, in two ways: `mean`, of eight voxels, and `cos2`, a scanner's slices, which
overlap; and with three steps of back-projection by that, as published. PSNR in dB with a peak
of 2,000 HU (of MR the span of the 2nd to 98th percentile); `off` the RMS of what the LR sees of the SR, in the same
way, against the LR: HU of CT, of MR numbers as stored. The model saw none of these volumes; the phantom is of plastic.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.slices import Case, by_model, linear, psnr, rms, spline
from srcore.choices import PROFILE_STEPS, SliceProfile
from srcore.radiometry import quantise, slice_weights
from srcore.storage.scene import read_header
from srcore.storage.whole_images import read_image

SCALE = (2, 2, 2)
VOLUMES = {
    "CT abdomen, 3 mm": "data/medical/ct_abdomen_3mm",
    "CT phantom, slab mid": "trainset/volumes/phantom/ct_phantom_mid_hr1_ub",
    "CT phantom, slab lower": "data/medical/ct_phantom_pair/hr_1mm_lower",
    "MR abdomen, 3 mm": "data/medical/mr_abdomen_3mm",
    "MR T1 stroke": "data/medical/mr_stroke_T1",
    "MR T2 stroke": "data/medical/mr_stroke_T2",
    "MR FLAIR stroke": "trainset/volumes/val/mr_flair_stroke_brain",
    "MR T2 cord": "trainset/volumes/val/mr_t2_cord_1mm",
    "MR T1 brain": "trainset/volumes/train/mr_t1_studyforrest_brain",
    "MR T1 head, 2 mm": "trainset/val/medical/mr_t1_tfl_2mm_upper",
    "MR T2* spine": "trainset/val/medical/mr_t2s_spine",
}
"""What its training did not see; an abdomen of the person whose chest it saw is left out."""
PROFILES: tuple[SliceProfile, ...] = ("box", "cos2")


def seen_by(fine: NDArray[Any], profile: SliceProfile) -> NDArray[np.float64]:
    """The LR of thin slices with one more at each end."""
    count = (len(fine) - 2) // 2
    planes = fine[:, : fine.shape[1] // 2 * 2, : fine.shape[2] // 2 * 2].astype(np.float64)
    flat = planes.reshape(len(fine), planes.shape[1] // 2, 2, planes.shape[2] // 2, 2).mean((2, 4))
    weights = slice_weights(2) if profile == "cos2" else np.array([0, 0.5, 0.5, 0])
    return np.stack([np.tensordot(weights, flat[2 * place : 2 * place + 4], 1) for place in range(count)])


def cases(root: Path, profile: SliceProfile) -> Iterator[Case]:
    """Every volume with its LR."""
    for name, where in VOLUMES.items():
        path = root / f"{where}.nii.gz"
        fine = read_image(path).values[0]
        lr = quantise(seen_by(fine, profile), fine.dtype)
        hr = fine[tuple(slice(first, first + 2 * n) for first, n in zip((1, 0, 0), lr.shape, strict=True))]
        yield Case(name, hr, lr, tuple(read_header([path], "volume").grid.spacing()), name.startswith("CT"))


def row(case: Case, sr: NDArray[np.float64], profile: SliceProfile) -> str:
    """PSNR, and how far the SR is off the LR."""
    apart = rms(seen_by(sr[1:-1], profile) - case.lr[1:-1])
    return f"{psnr(case.peak, case.hr.astype(np.float64), sr):.2f} | {apart:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="srcore-volume-x2")
    parser.add_argument("--only", default="", help="volumes whose name contains this")
    given = parser.parse_args(arguments)
    names = ("linear", "off", "cubic spline", "off", f"`{Path(given.model).name}`", "off", "gain over cubic spline")
    print(f"| volume | LR | {' | '.join(names)} |\n" + "|---" * 9 + "|")
    for profile in PROFILES:
        for case in cases(Path(os.environ.get("SRCORE_DATA", "../shared")), profile):
            if given.only not in case.name:
                continue
            ways = (
                linear(case.lr, SCALE),
                spline(case.lr, SCALE),
                by_model(given.model, case.lr, PROFILE_STEPS, None, profile),
            )
            truth = case.hr.astype(np.float64)
            gain = psnr(case.peak, truth, ways[2]) - psnr(case.peak, truth, ways[1])
            found = " | ".join(row(case, sr, profile) for sr in ways)
            print(f"| {case.name} | {'mean' if profile == 'box' else profile} | {found} | {gain:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
