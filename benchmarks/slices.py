"""Thick slices made thin, 5 to 1: what a model gives over linear, splines, and splines with back-projection.

    SRCORE_DATA=<folder with data/ and trainset/> python -m benchmarks.slices [--model NAME ...] [--steps N ...]
        [--edge repeat reflect] [--only TEXT]

PSNR in dB with a peak of 2,000 HU (of MR the span of the 2nd to 98th percentile); `inner` without the five thin slices
of the first and the last thick one; `ends` of those alone; `soft` the RMS in HU where the truth is -150 to 200 HU;
`blurred` the PSNR, and RMS there, after a Gaussian of 2 mm full width on both; `seen` the RMS of what the SR comes to
by the profile against the LR, and the true thin slices' own beside it. Two pairs are a scanner's own, of a plastic head
of which the model saw another slab; elsewhere LR is made by the profile. Steps of back-projection are by the profile,
too. `--edge`: what lies beyond the ends of the slab, in place of the checkpoint's own rule.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checkpoints import locate
from srcore.choices import Edge, SliceProfile
from srcore.memory.arrays import array_header
from srcore.memory.whole import open_whole, super_resolved
from srcore.models.backprojection import back_project
from srcore.radiometry import Extent, quantise, slice_weights
from srcore.storage.bounds import bounds
from srcore.storage.scene import read_header
from srcore.storage.whole_images import Image, read_image
from srcore.treatment import Treatment
from srcore.weights import load_generator

SCALE = 5
SPLINE_STEPS = 4
SOFT = (-150.0, 200.0)
CT_PEAK = 2000.0
FWHM = 2.3548
PAIRS = {
    "phantom, slab mid": ("trainset/volumes/phantom/ct_phantom_mid_", "hr1_ub", "lr5_ub"),
    "phantom, scanner's pair": ("data/medical/ct_phantom_pair/", "hr_1mm_lower", "lr_5mm_lower"),
}
"""Of the same object as a slab of the training: what both begin with, HR and LR."""
MADE = {
    "CT abdomen, 3 mm": "data/medical/ct_abdomen_3mm",
    "MR FLAIR brain": "trainset/volumes/val/mr_flair_stroke_brain",
    "MR T2 cord": "trainset/volumes/val/mr_t2_cord_1mm",
}
"""Objects that no training saw."""


@dataclass(frozen=True)
class Case:
    """A volume (Z, Y, X) with its thick slices."""

    name: str
    hr: NDArray[Any]
    lr: NDArray[Any]
    spacing: tuple[float, ...]
    """Millimetres of the HR, by axis."""
    is_ct: bool

    @property
    def peak(self) -> float:
        low, high = np.percentile(self.hr, (2, 98))
        return CT_PEAK if self.is_ct else float(high - low)


def cases(root: Path) -> Iterator[Case]:
    """The scanner's pairs, then those whose LR is made."""
    for name, (where, *sides) in PAIRS.items():
        paths = [root / f"{where}{side}.nii.gz" for side in sides]
        hr, lr = (read_image(path).values[0] for path in paths)
        yield Case(name, hr, lr, _spacing(paths[0]), True)
    for name, fine in MADE.items():
        path = root / f"{fine}.nii.gz"
        hr = read_image(path).values[0]
        reach, count = SCALE // 2, (len(hr) - 2 * (SCALE // 2)) // SCALE
        lr = quantise(seen_by(hr[: count * SCALE + 2 * reach].astype(np.float64)), hr.dtype)
        yield Case(name, hr[reach : reach + count * SCALE], lr, _spacing(path), name.startswith("CT"))


def _spacing(path: Path) -> tuple[float, ...]:
    return tuple(read_header([path], "volume").grid.spacing())


def seen_by(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """What thick slices see of thin ones with SCALE // 2 more at each end."""
    weights = slice_weights(SCALE)
    count = (len(fine) - len(weights)) // SCALE + 1
    return np.stack([np.tensordot(weights, fine[SCALE * i : SCALE * i + len(weights)], 1) for i in range(count)])


def linear(lr: NDArray[Any], scale: Sequence[int] = (SCALE, 1, 1)) -> NDArray[np.float64]:
    """`lr` (Z, Y, X) enlarged, linear on each axis."""
    return _enlarged(lr, scale, 1)


def spline(lr: NDArray[Any], scale: Sequence[int] = (SCALE, 1, 1)) -> NDArray[np.float64]:
    """The same by cubic splines."""
    return _enlarged(lr, scale, 3)


def _enlarged(lr: NDArray[Any], scale: Sequence[int], order: int) -> NDArray[np.float64]:
    found = ndimage.zoom(lr.astype(np.float64), scale, order=order, mode="nearest", grid_mode=True)
    return np.asarray(found, np.float64)


def spline_back_projected(lr: NDArray[Any]) -> NDArray[np.float64]:
    """The spline after SPLINE_STEPS by the profile; the end slices go on beyond the slab."""
    margin = 2 * SPLINE_STEPS
    wide = np.pad(lr.astype(np.float64), margin, mode="symmetric")
    sr = back_project(
        torch.from_numpy(spline(wide))[None, None],
        torch.from_numpy(wide)[None, None],
        None,
        SPLINE_STEPS,
        slice_weights(SCALE).tolist(),
    )
    return np.asarray(sr[0, 0].numpy(), np.float64)


def by_model(
    reference: str, lr: NDArray[Any], steps: int, edge: Edge | None = None, profile: SliceProfile = "cos2"
) -> NDArray[np.float64]:
    """The SR as published, after so many steps by the profile; of other ends where `edge` says so."""
    spec, generator = load_generator(locate(reference))
    engine = open_whole(spec if edge is None else spec.model_copy(update={"edge": edge}), generator)
    treatment = Treatment(back_projection=steps, slice_profile=profile if steps else "box")
    image, extent = Image(lr[None], np.ones((1, *lr.shape), np.bool_), (None,)), Extent(1)
    extent.add(image.values, image.valid)
    (ends,) = bounds(array_header(image.values.shape, lr.dtype, None), extent.ends)
    assert ends is not None
    return np.asarray(super_resolved(engine, image, treatment)[0], np.float64).clip(*ends)


def row(case: Case, sr: NDArray[np.float64]) -> list[str]:
    """The figures of an SR: PSNR whole, inner, ends, blurred; soft RMS, blurred; RMS by the profile."""
    truth = case.hr.astype(np.float64)
    sigma = [2 / FWHM / step for step in case.spacing]
    smooth = [ndimage.gaussian_filter(one, sigma, mode="nearest") for one in (truth, sr)]
    inner, ends = slice(SCALE, -SCALE), np.r_[:SCALE, -SCALE:0]
    seen = [(truth, sr), (truth[inner], sr[inner]), (truth[ends], sr[ends]), (smooth[0], smooth[1])]
    soft = (truth >= SOFT[0]) & (truth <= SOFT[1])
    found = [f"{psnr(case.peak, *one):.2f}" for one in seen]
    found += [f"{rms((a - b)[soft]):.1f}" if case.is_ct else "" for a, b in ((truth, sr), (smooth[0], smooth[1]))]
    return [*found, f"{off(case, sr):.1f}"]


def off(case: Case, sr: NDArray[np.float64]) -> float:
    """RMS of what thick slices see of an SR, against the LR; without the slices that reach beyond an end."""
    return rms(seen_by(sr[SCALE - SCALE // 2 : -(SCALE - SCALE // 2)]) - case.lr[1:-1])


def rms(apart: NDArray[np.float64]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(apart**2)))


def psnr(peak: float, truth: NDArray[np.float64], sr: NDArray[np.float64]) -> float:
    """In dB."""
    return float(20 * np.log10(peak / rms(truth - sr)))


def main(arguments: Sequence[str] | None = None) -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="*", default=["srcore-volume-z5"])
    parser.add_argument("--steps", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--edge", nargs="*", choices=("repeat", "reflect"), default=[None])
    parser.add_argument("--only", default="", help="volumes whose name contains this")
    given = parser.parse_args(arguments)
    print("| volume | by | PSNR | inner | ends | blurred | soft RMS | blurred | seen |\n" + "|---" * 9 + "|")
    for case in cases(Path(os.environ.get("SRCORE_DATA", "../shared"))):
        if given.only not in case.name:
            continue
        print(f"| {case.name} | the truth | | | | | | | {off(case, case.hr.astype(np.float64)):.1f} |")
        ways = {"linear": linear, "cubic spline": spline, "spline, back-projected": spline_back_projected}
        for name, way in ways.items():
            print(f"| {case.name} | {name} | {' | '.join(row(case, way(case.lr)))} |", flush=True)
        for model, steps, edge in product(given.model, given.steps, given.edge):
            found = row(case, by_model(model, case.lr, steps, edge))
            how = f"`{Path(model).name}`, {steps} steps" + (f", {edge}" if edge else "")
            print(f"| {case.name} | {how} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
