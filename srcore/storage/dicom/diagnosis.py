"""What is wrong with a series, told in one line with a code; nothing of a patient is in it.

The order is that of a reader's questions: is it one series of one patient, do its slices belong together, do its
numbers mean something, do they lie evenly and straight. SimpleITK reads most of what is refused here without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from srcore.choices import Resample
from srcore.errors import SourceError
from srcore.storage.dicom.geometry import EVEN, SAME_MM, TILT_PX, Stack, plane_of, stacked
from srcore.storage.dicom.packing import refuse_undecodable
from srcore.storage.dicom.slices import Slice
from srcore.storage.header import LEAST_MM, MOST_MM

TOLD = 8
"""Places or values that a message names at most."""
BIG_ENDIAN = "1.2.840.10008.1.2.2"
CONTRASTS = ("EchoNumbers", "EchoTime", "EffectiveEchoTime", "DiffusionBValue", "ComplexImageComponent")
"""Of `SPLITS`, what makes other pictures of the same slice: no volume has two of them."""
ALIKE = 0.05
"""Fraction by which such a number, but for the echo's, may differ and be the same."""
DO_NAME = "name one: --volume TAG=VALUE (volume: in the catalog), or split it: one series for each"


def refuse_unfit(slices: Sequence[Slice], resample: Resample | None = None) -> Stack:
    """The positions of the slices of one series; SourceError for all that makes it no even, straight volume, but for
    what will be resampled."""
    _refuse_two_patients(slices)
    _refuse_mosaic(slices)
    _refuse_placeless(slices)
    _refuse_rescale(slices)
    _refuse_mixed(slices)
    _refuse_numbers(slices[0])
    refuse_undecodable(slices)
    stack = stacked(slices)
    if len(slices) > 1:
        _refuse_volumes(slices, stack)
        _refuse_contrasts(slices)
        _refuse_doubles(slices, stack)
        _refuse_uneven(stack, asked=resample is not None)
        if resample != "untilt":
            _refuse_tilt(slices[0], stack)
    return stack


def _refuse_two_patients(slices: Sequence[Slice]) -> None:
    found = Counter(one.patient for one in slices)
    if len(found) > 1:
        told = ", ".join(f"{count} slices of {name}" for name, count in found.most_common(TOLD))
        do = "look at the archive that sent them: the IDs differ, and are told here as keyed hashes"
        raise SourceError("one series holds slices of several patients", told, do, code="TWO_PATIENTS")


def _refuse_mosaic(slices: Sequence[Slice]) -> None:
    count = sum(one.mosaic for one in slices)
    if count:
        found = f"a mosaic, in {count} of {len(slices)} pictures"
        do = "unpack it: dcm2niix writes NIfTI of it; or export it as enhanced MR"
        raise SourceError("slices lie side by side in one picture", found, do, code="NOT_SUPPORTED")


def _refuse_placeless(slices: Sequence[Slice]) -> None:
    for name, lacks in (
        ("ImagePositionPatient", [one.position is None or not np.isfinite(one.position).all() for one in slices]),
        ("ImageOrientationPatient", [not _is_orientation(one.orientation) for one in slices]),
        ("PixelSpacing", [not _are_sizes(one.spacing) for one in slices]),
    ):
        if any(lacks):
            found = f"no usable {name} in {sum(lacks)} of {len(slices)}"
            raise SourceError("slices do not say where they lie", found, "export the series again", code="NO_GEOMETRY")


def _are_sizes(value: Sequence[float] | None) -> bool:
    return value is not None and all(LEAST_MM <= one <= MOST_MM for one in value)


def _is_orientation(value: Sequence[float] | None) -> bool:
    if value is None:
        return False
    row, column = np.array(value[:3]), np.array(value[3:])
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    return bool(np.isfinite(value).all() and np.abs(lengths - 1).max() < 1e-2 and abs(row @ column) < 1e-2)


MIXED: tuple[tuple[str, Callable[[Slice], object]], ...] = (
    ("class", lambda one: one.sop_class),
    ("size", lambda one: f"{one.size[0]} x {one.size[1]}"),
    ("orientation", lambda one: tuple(round(v, 3) + 0.0 for v in one.orientation or ())),
    ("pixel spacing", lambda one: tuple(round(v, 4) for v in one.spacing or ())),
    ("rescale", lambda one: one.rescale),
    ("pixel type", lambda one: (one.bits[0], one.bits[2], one.photometric, one.samples)),
    ("padding", lambda one: one.padding),
    ("frame of reference", lambda one: one.place),
)
"""What all slices of a volume have in common."""
SAID = frozenset({"size", "pixel spacing", "rescale"})
"""Of these the values are told."""


def _refuse_mixed(slices: Sequence[Slice]) -> None:
    for name, value in MIXED:
        found = Counter(value(one) for one in slices)
        if len(found) == 1 or (name == "orientation" and _near(slices)):
            continue
        told = ", ".join(
            f"{count} slices{f' of {each}' if name in SAID else ''}" for each, count in found.most_common(TOLD)
        )
        do = "split the series, or export it again"
        raise SourceError(
            f"the slices of the series differ in {name}", f"{len(found)} kinds: {told}", do, code="SLICES_MIXED"
        )


def _near(slices: Sequence[Slice]) -> bool:
    """Whether orientations differ by rounding alone."""
    all_of_them = np.array([one.orientation for one in slices])
    return float(np.abs(all_of_them - all_of_them[0]).max()) < 2e-3


def _refuse_numbers(first: Slice) -> None:
    if first.samples != 1 or not first.photometric.startswith("MONOCHROME"):
        kind = "a palette" if "PALETTE" in first.photometric else "colour"
        raise SourceError(
            f"slices in {kind}", f"{first.samples} samples a pixel", "give grey CT or MR", code="NOT_SUPPORTED"
        )
    if first.bits[0] not in (8, 16, 32):
        raise SourceError(
            "an unknown pixel type", f"{first.bits[0]} bits", "export it with 16 bits", code="NOT_SUPPORTED"
        )
    if first.has_table:
        raise SourceError(
            "its numbers mean something by a table",
            "Modality LUT",
            "export it with slope and intercept",
            code="NOT_SUPPORTED",
        )
    if first.rescale is None and first.is_ct:
        raise SourceError(
            "CT without rescale slope and intercept",
            "stored numbers that are no Hounsfield units",
            "export it again with both",
            code="NO_RESCALE",
        )


def _refuse_rescale(slices: Sequence[Slice]) -> None:
    bad = [one.rescale for one in slices if one.rescale and not (np.isfinite(one.rescale).all() and one.rescale[0])]
    if bad:
        found = f"slope {bad[0][0]:g}, intercept {bad[0][1]:g} in {len(bad)} of {len(slices)}"
        raise SourceError("a rescale that means nothing", found, "export it again", code="NO_RESCALE")


def _refuse_volumes(slices: Sequence[Slice], stack: Stack) -> None:
    """As many slices at every place: of several times, echoes or the like, or copies of the same files."""
    _refuse_copies(slices)
    if stack.doubles and stack.volumes > 1:
        found = f"{stack.volumes} at each of {len(slices) // stack.volumes} places, {_split_by(slices, stack)}"
        raise SourceError("a series of several volumes", found, DO_NAME, code="SEVERAL_VOLUMES")


def _refuse_copies(slices: Sequence[Slice]) -> None:
    copies = len(slices) - len({(one.instance or one.member, one.frame) for one in slices})
    if copies:
        found = f"{copies} of {len(slices)} slices have the SOPInstanceUID of another"
        raise SourceError("slices are there twice", found, "remove the copies", code="SLICES_DOUBLE")


def _refuse_contrasts(slices: Sequence[Slice]) -> None:
    """Slices at places of their own, and yet of several echoes: each its own picture of the patient."""
    for name in CONTRASTS:
        found = Counter(told for one in slices if (told := dict(one.splits).get(name)) is not None)
        if len(found) < 2 or (name != "EchoNumbers" and _alike(list(found))):
            continue
        told = ", ".join(
            f"{count} of {float(value):g}" for value, count in sorted(found.items())[:TOLD] if is_number(value)
        )
        words = f"{len(found)} values of {name}{f': {told}' if told else ''}"
        raise SourceError("the slices of the series are not of one kind", words, DO_NAME, code="SEVERAL_VOLUMES")


def _alike(values: Sequence[str]) -> bool:
    if not all(is_number(value) for value in values):
        return False
    numbers = [float(value) for value in values]
    return max(numbers) - min(numbers) <= ALIKE * max(map(abs, numbers))


def _refuse_doubles(slices: Sequence[Slice], stack: Stack) -> None:
    if not stack.doubles:
        return
    places = sorted(set(stack.doubles))
    found = f"{len(places)} places with more than one, by height {_heights(stack, places)} mm, of {len(slices)} slices"
    raise SourceError("slices lie at the same place", found, "remove one of each", code="SLICES_DOUBLE")


def _split_by(slices: Sequence[Slice], stack: Stack) -> str:
    """The tags that differ among slices at the first place, with what they are; numbers only."""
    first = [dict(slices[stack.order[i]].splits) for i in range(stack.volumes)]
    for name in sorted({key for one in first for key in one}, key=str):
        values = sorted({one.get(name, "") for one in first})
        if len(values) == stack.volumes:
            return f"by {name}{told_numbers(values) or ': words'}"
    return "and no tag that is known tells them apart"


def told_numbers(values: Sequence[str]) -> str:
    """': 30, 60' of values that are numbers; words of a header are not repeated."""
    if not all(is_number(value) for value in values):
        return ""
    listed = ", ".join(sorted(values, key=float)[:TOLD])
    return f": {listed}" + (" ..." if len(values) > TOLD else "")


def is_number(text: str) -> bool:
    """Whether a value of a header is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _heights(stack: Stack, places: Sequence[int]) -> str:
    told = ", ".join(f"{stack.heights[i]:.2f}" for i in places[:TOLD])
    return f"{told} ..." if len(places) > TOLD else told


def _refuse_uneven(stack: Stack, *, asked: bool) -> None:
    """The usual step everywhere, a multiple of it where slices are missing, else the table of gaps, unless even slices
    were asked for: of slices that are missing none are made."""
    gaps, step = stack.gaps, stack.step
    within = np.maximum(EVEN * step, SAME_MM)
    if np.abs(gaps - step).max() <= within:
        return
    times = np.rint(gaps / step)
    if np.abs(gaps - times * step).max() <= within * times.max():
        places = [i for i, time in enumerate(times) if time > 1]
        count = int((times - 1).sum())
        where = f"above height {_heights(stack, places)} mm, step {step:.4g} mm"
        found = f"{count} missing of {len(stack.heights) + count}, {where}"
        raise SourceError("slices are missing", found, "fetch the series again", code="SLICES_MISSING")
    if asked:
        return
    table = Counter(f"{gap:.3g}" for gap in gaps)
    told = ", ".join(f"{count} of {gap} mm" for gap, count in table.most_common(TOLD))
    do = "reconstruct it evenly, or ask for even slices of it: --resample even (resample: in the catalog)"
    raise SourceError("slices are not evenly spaced", f"gaps: {told}", do, code="SLICES_UNEVEN")


def _refuse_tilt(first: Slice, stack: Stack) -> None:
    assert first.spacing is not None, "checked before"
    if stack.drift_mm() > TILT_PX * min(first.spacing):
        raise SourceError(
            "the gantry is tilted: slices do not lie above each other",
            f"{stack.tilt_deg:.1f} degrees",
            "ask for a straight grid: --resample untilt (resample: in the catalog)",
            code="GANTRY_TILT",
        )


def described(slices: Sequence[Slice]) -> str:
    """A series in a few words: modality, plane, slices and spacing."""
    first = slices[0]
    placed = all(one.position is not None and _is_orientation(one.orientation) for one in slices)
    step = stacked(slices).step if placed and len(slices) > 1 else first.between or first.thickness or 0.0
    each = f" every {step:.3g} mm" if step else ""
    return f"{'CT' if first.is_ct else 'MR'} {plane_of(first)}, {len(slices)} slices{each}"
