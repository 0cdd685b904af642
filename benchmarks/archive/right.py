"""What a right product keeps: each check gives what is wrong, or an empty text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.archive.seen import Seen

Check = Callable[[Seen], str]
NEAR = 0.15
"""Root mean square of SR, averaged down, minus LR, over the span of the LR."""


def same_place(seen: Seen) -> str:
    """Same CRS, and the same outer edge."""
    lr, sr = seen.lr, seen.sr
    if sr.values.shape[0] < lr.values.shape[0] or any(scale < 1 for scale in seen.scale):
        return f"shape {sr.values.shape} of {lr.values.shape}"
    if "affine" in lr.facts:
        return ""
    if lr.facts["crs"] != sr.facts["crs"]:
        return f"CRS {sr.facts['crs']} of {lr.facts['crs']}"
    a, b = lr.facts["transform"], sr.facts["transform"]
    height, width = lr.values.shape[1:]
    corners = [(0, 0), (width, height)]
    apart = [np.abs(np.subtract(a * (x, y), b * (x * seen.scale[1], y * seen.scale[0]))).max() for x, y in corners]
    return f"corners off by {max(apart):g}" if max(apart) > 1e-6 else ""


def near(seen: Seen) -> str:
    """The product, averaged down, is the source: nothing inverted, turned or moved."""
    count = seen.lr.values.shape[0]
    usable = seen.lr.valid & (seen.blocks(np.min)[:count] > -1e38)
    lr = np.where(usable, seen.lr.values, 0).astype(np.float64)
    sr = np.where(usable, seen.blocks(np.mean)[:count], 0).astype(np.float64)
    if not usable.any():
        return ""
    span = float(np.percentile(lr[usable], 98) - np.percentile(lr[usable], 2)) or 1.0
    off = float(np.sqrt(np.mean((lr - sr)[usable] ** 2))) / span
    return f"{off:.3f} of the span off" if off > NEAR else ""


def mask_kept(seen: Seen) -> str:
    """What is hidden in a band is hidden in its SR pixels, and nothing else."""
    return masked_as(seen, seen.lr.valid)


def masked_as(seen: Seen, valid: NDArray[np.bool_]) -> str:
    """`valid` of each LR pixel is that of its SR pixels."""
    wrong = seen.kron(valid) != seen.sr.valid[: valid.shape[0]]
    return f"{wrong.mean():.1%} of the pixels valid or hidden by mistake" if wrong.any() else ""


def nearest(band: int = 0) -> Check:
    """Each valid SR pixel of a band has a number that an LR pixel of the 3 x 3 around its own has."""

    def check(seen: Seen) -> str:
        lr, sr = seen.lr.values[band], seen.sr.values[band]
        padded, allowed = np.pad(lr, 1, mode="edge"), np.zeros(sr.shape, bool)
        for dy in range(3):
            for dx in range(3):
                allowed |= seen.kron(padded[None, dy : dy + lr.shape[0], dx : dx + lr.shape[1]])[0] == sr
        allowed |= ~seen.sr.valid[band]
        return "" if allowed.all() else f"{(~allowed).mean():.1%} of the pixels of another class"

    return check


def no_label_invented(seen: Seen) -> str:
    """No number that the source does not have."""
    new = set(np.unique(seen.sr.values)) - set(np.unique(seen.lr.values))
    return f"{len(new)} numbers that the source does not have" if new else ""


def within(low: float, high: float) -> Check:
    """Usable pixels lie between the two."""

    def check(seen: Seen) -> str:
        usable = seen.sr.values[seen.sr.valid].astype(np.float64)
        outside = float(((usable < low) | (usable > high)).mean()) if usable.size else 0.0
        return f"{outside:.2%} of the pixels beyond {low:g} to {high:g}" if outside else ""

    return check


def told(pattern: str) -> Check:
    """A flag says it."""
    return lambda seen: "" if any(re.search(pattern, flag, re.I) for flag in seen.flags) else f"no flag of /{pattern}/"


def either(*checks: Check) -> Check:
    """One of them finds nothing wrong."""

    def check(seen: Seen) -> str:
        found = [one(seen) for one in checks]
        return "" if "" in found else " and ".join(found)

    return check


def fact(name: str, right: Any) -> Check:
    """The product says it of itself."""

    def check(seen: Seen) -> str:
        found = seen.sr.facts[name]
        same = np.allclose(found, right) if isinstance(right, float) else found == right
        return "" if same else f"{name} {found}, not {right}"

    return check


def kept(name: str) -> Check:
    """The product says of itself what the source says."""
    return lambda seen: fact(name, seen.lr.facts[name])(seen)


def dated(start: str) -> Check:
    """The STAC item has a time that begins so."""
    return lambda seen: (
        ""
        if str(seen.item["properties"]["datetime"]).startswith(start)
        else (f"datetime {seen.item['properties']['datetime']}, not {start}")
    )


def no_false_tag(*names: str) -> Check:
    """Tags that are true of the source's pixels only are gone, or another number."""

    def check(seen: Seen) -> str:
        lr, sr = seen.lr.facts["tags"], seen.sr.facts["tags"]
        false = [name for name in names if name in sr and sr[name] == lr.get(name)]
        return f"{', '.join(false)} as in the source" if false else ""

    return check


def tag_kept(name: str) -> Check:
    """A tag is that of the source."""
    return lambda seen: "" if seen.sr.facts["tags"].get(name) == seen.lr.facts["tags"].get(name) else f"{name} is lost"


def points_kept(seen: Seen) -> str:
    """Control points lie at twice their rows and columns, with the same places and CRS."""
    (lr, lr_crs), (sr, sr_crs) = seen.lr.facts["gcps"], seen.sr.facts["gcps"]
    if len(lr) != len(sr) or lr_crs != sr_crs:
        return f"{len(sr)} control points in {sr_crs}"
    y, x = seen.scale
    apart = [
        max(abs(a.row * y - b.row), abs(a.col * x - b.col), abs(a.x - b.x), abs(a.y - b.y))
        for a, b in zip(lr, sr, strict=True)
    ]
    return f"control points off by {max(apart):g}" if max(apart) > 1e-6 else ""


def not_darkened(seen: Seen) -> str:
    """No colour is 0 where the source has one."""
    zeroed = (seen.sr.values[:3] == 0) & (seen.kron(seen.lr.values[:3]) > 0)
    return f"{zeroed.mean():.1%} of the colours became 0" if zeroed.any() else ""


def near_their_span(seen: Seen) -> str:
    """Usable pixels lie within the span of the source's, widened by half of it: nothing of a nodata number came in."""
    usable = seen.lr.values[seen.lr.valid].astype(np.float64)
    room = float(np.ptp(usable)) / 2
    return within(float(usable.min()) - room, float(usable.max()) + room)(seen)


def one_slice(seen: Seen) -> str:
    """A single slice stays one."""
    return "" if seen.sr.values.shape[1] == 1 else f"{seen.sr.values.shape[1]} slices of one"


def padding_kept(number: float) -> Check:
    """A number that stands for nothing is where it was, and nowhere else."""

    def check(seen: Seen) -> str:
        wrong = (seen.sr.values == number) != (seen.kron(seen.lr.values) == number)
        return f"{wrong.mean():.1%} of the padding moved" if wrong.any() else ""

    return check


def alpha_and_nan_kept(seen: Seen) -> str:
    """What alpha or NaN hides in one of three bands is hidden there, by either, and nothing else."""
    lr, sr = seen.lr.values, seen.sr.values
    right = seen.kron(np.isfinite(lr[:3]) & (lr[3:] > 0))
    opaque = sr[3:] > 0 if sr.shape[0] > 3 else np.ones_like(sr[:1], bool)
    wrong = right != (np.isfinite(sr[:3]) & opaque)
    return f"{wrong.mean():.2%} of the pixels valid or hidden by mistake" if wrong.any() else ""


def finite_as(seen: Seen) -> str:
    """No number where the source has none, and only there."""
    wrong = np.isfinite(seen.sr.values) != seen.kron(np.isfinite(seen.lr.values))
    return f"{wrong.mean():.2%} of NaN and Inf moved" if wrong.any() else ""
