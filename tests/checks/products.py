"""Products whose truth is known: a function on the HR grid, averaged to the LR and back, or spoilt in a known way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from srcore.checks import Report
from srcore.checks.blocks import MARGIN_PX, Block, average_down
from srcore.checks.geometry import Place
from srcore.checks.suite import Scene, Suite
from srcore.grid import Grid
from srcore.limits import LIMITS
from srcore.models.blocks import cubic_weights
from srcore.tiling import TilePlan

HR = (208, 192)
TILE = 128
"""HR pixels along a tile of scale 2."""


@dataclass(frozen=True)
class Case:
    """A scene: what lies on the ground, and how it is stored."""

    ground: np.ndarray
    """(C, *HR)"""
    dtype: str
    scale: tuple[int, ...] = (2, 2)
    valid: np.ndarray | None = None
    """(C, *LR)"""

    @cached_property
    def hr(self) -> np.ndarray:
        return stored(self.ground, self.dtype)

    @cached_property
    def lr(self) -> np.ndarray:
        """Where nothing is valid it is filled, as a scene is before its SR is made."""
        with np.errstate(over="ignore"):
            return stored(average_down(self.hr, self.scale), self.dtype)


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return np.asarray(values).astype(dtype)


def repeated(values: np.ndarray, scale: tuple[int, ...]) -> np.ndarray:
    for axis, factor in enumerate(scale, start=1):
        values = values.repeat(factor, axis)
    return values


def cubic(case: Case) -> np.ndarray:
    """Cubic interpolation along every axis."""
    values = case.lr.astype(np.float64)
    for axis, factor in enumerate(case.scale, start=1):
        along = np.moveaxis(values, axis, -1)
        padded = np.pad(along, [(0, 0)] * (along.ndim - 1) + [(2, 2)], mode="edge")
        taps = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=-1)
        phases = taps @ cubic_weights(factor).T
        values = np.moveaxis(phases.reshape(*along.shape[:-1], -1), -1, axis)
    return stored(values, case.dtype)


PRODUCTS: dict[str, Callable[[Case], np.ndarray]] = {
    "truth": lambda case: case.hr,
    "nearest": lambda case: repeated(case.lr, case.scale),
    "cubic": cubic,
}


def judged(case: Case, sr: np.ndarray, least_contrast: float | None = None) -> Report:
    """The suite's report on a product in tiles of 64 LR pixels."""
    lr, scale, axes = case.lr, case.scale, case.lr.ndim - 1
    valid = np.ones(lr.shape, bool) if case.valid is None else case.valid
    core = tuple(min(size, most) for size, most in zip(lr.shape[1:], (8, 64, 64)[-axes:], strict=True))
    affine = tuple(tuple(np.eye(axes + 1)[row]) for row in range(axes))
    grid = Grid(lr.shape[1:], affine, None)
    places = Place(grid), Place(grid.scaled(scale))
    facts = (scale, len(lr), case.dtype, str(sr.dtype), core, True)
    suite = Suite(Scene(*places, *facts, least_contrast=least_contrast), LIMITS)
    for block in _blocks(case, sr, valid, core):
        suite.add(block)
    return Report(tuple(suite.checks()))


def _blocks(case: Case, sr: np.ndarray, valid: np.ndarray, core: tuple[int, ...]) -> Iterator[Block]:
    lr, seen = case.lr, repeated(valid, case.scale)
    halo = (0,) * (lr.ndim - 3) + (MARGIN_PX,) * 2
    plan = TilePlan(lr.shape[1:], core, halo, case.scale)
    for tile in plan:
        around = lr[np.ix_(range(len(lr)), *plan.sources(tile))]
        wide = tuple(slice(0, w.stop - w.start + 2 * h) for w, h in zip(tile.core, halo, strict=True))
        at, at_hr = (slice(None), *tile.core), (slice(None), *plan.window_hr(tile))
        yield Block(tile.core, around[(slice(None), *wide)], valid[at], sr[at_hr], seen[at_hr], case.scale)


def texture(shape: tuple[int, ...], sigma: float, seed: int = 0) -> np.ndarray:
    """Gaussian noise of deviation 1, smooth over `sigma` pixels of rows and columns."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    values = ndimage.gaussian_filter(noise, [0] * (len(shape) - 2) + [sigma] * 2, mode="wrap")
    return values / values.std()


def land(shape: tuple[int, int] = HR, bands: int = 3) -> np.ndarray:
    """Fields, hills and grain: three bands that differ."""
    fields = np.random.default_rng(9).normal(size=(shape[0] // 32 + 1, shape[1] // 32 + 1))
    fields = fields.repeat(32, 0).repeat(32, 1)[: shape[0], : shape[1]]
    hills, grain = texture(shape, 8.0), [texture(shape, 2.0, band + 1) for band in range(bands)]
    return np.stack(
        [3000 + 300 * (band + 1) * (hills + 0.5 * grain[band]) - 200 * band * fields for band in range(bands)]
    )


def spots(count: int, shape: tuple[int, int] = HR) -> np.ndarray:
    """Single bright pixels of very different brightness."""
    rng = np.random.default_rng(1)
    values = np.zeros((1, *shape))
    values[0, rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = rng.lognormal(3, 1.5, count)
    return values


def one(background: float, at: tuple[int, int], side: int, shape: tuple[int, int] = HR) -> np.ndarray:
    """A bright square of `side` HR pixels on a flat background."""
    values = np.full((1, *shape), background)
    values[0, at[0] : at[0] + side, at[1] : at[1] + side] = 250
    return values


def bar(contrast: float, column: int, width: int = 2) -> np.ndarray:
    """A bright line of `width` HR pixels down a flat scene."""
    values = np.full((1, *HR), 10.0)
    values[..., column : column + width] = contrast
    return values


def body(scale: tuple[int, ...], air: float) -> np.ndarray:
    """A volume of 12 LR slices: tissue in a fifth of the field, `air` around it."""
    shape = tuple(n * s for n, s in zip((12, 48, 40), scale, strict=True))
    tissue = 500 + 60 * ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 2) / 0.1
    y, x = np.ogrid[: shape[1], : shape[2]]
    inside = (y / shape[1] - 0.5) ** 2 + (x / shape[2] - 0.5) ** 2 < 0.06
    return np.where(inside, tissue, air)[None]


def _holes(rows: slice, columns: slice) -> np.ndarray:
    valid = np.ones((3, HR[0] // 2, HR[1] // 2), bool)
    valid[:, rows, columns] = False
    return valid


def right_cases() -> dict[str, Case]:
    """Scenes of every kind."""
    rng = np.random.default_rng(7)
    flat, stripes = np.ones((1, *HR)), np.broadcast_to(np.arange(HR[1])[None, None] // 2 % 2, (1, *HR))
    rain, mask = np.maximum(texture((1, *HR), 4.0, 3) - 2, 0) * 10, (texture((1, *HR), 6.0, 5) > 0).astype(float)
    blocks = (rng.random((1, HR[0] // 2, HR[1] // 2)) > 0.99).repeat(2, 1).repeat(2, 2)
    half = np.where(land() > 3000, 255, land() / 40)
    random_valid = rng.random((3, HR[0] // 2, HR[1] // 2))
    cases = {
        "land, uint16": Case(land(), "uint16"),
        "land, uint8": Case(land() / 40, "uint8"),
        "land, reflectance": Case(land() / 1e4, "float32"),
        "land by 3": Case(land((255, 225)), "uint16", (3, 3)),
        "land by 4 and 2": Case(land(), "uint16", (4, 2)),
        "odd sides": Case(land((2 * 127, 2 * 65)), "uint16"),
        "constant": Case(77 * flat, "uint8"),
        "constant 0": Case(0 * flat, "float32"),
        "constant 0.1": Case(0.1 * flat, "float32"),
        "one flat band": Case(np.concatenate([land(bands=2), 9 * flat]), "uint16"),
        "bands of other sizes": Case(np.stack([land()[0] / 1e4, land()[1] * 1e4]), "float32"),
        "rain": Case(rain, "float32"),
        "rain in counts": Case(10 * rain, "uint16"),
        "rare rain": Case(np.maximum(texture((1, *HR), 1.2, 4) - 3, 0), "float32"),
        "night lights": Case(spots(40), "float32"),
        "night lights, uint8": Case(2 * spots(40), "uint8"),
        "night lights over noise": Case(spots(40) + rng.normal(0.2, 0.01, (1, *HR)), "float32"),
        "saturated": Case(land() * 0.12 - 150, "uint8"),
        "half saturated": Case(half, "uint8"),
        "all saturated": Case(255 * flat, "uint8"),
        "dark": Case(land() / 40 - 70, "uint8"),
        "2 x 3 px": Case(land((4, 6)) / 1e4, "float32"),
        "1 x 1 px": Case(land((2, 2)), "uint16"),
        "1 x 40 px": Case(land((2, 80)), "uint16"),
        "17 x 23 px": Case(land((34, 46)) / 40, "uint8"),
        "one bright HR pixel": Case(one(10, (131, 90), 1), "uint8"),
        "one bright LR pixel": Case(one(10, (130, 90), 2), "float32"),
        "one bright pixel on 0 at a border": Case(one(0, (128, 128), 2), "uint8"),
        "one hot of 12 px": Case(one(0, (10, 12), 2, (24, 24)) / 250, "float32"),
        "one hot of 128 px": Case(one(0, (100, 100), 2) / 250, "uint8"),
        "mask 0 / 255": Case(255 * mask, "uint8"),
        "mask 0 / 1": Case(mask, "float32"),
        "rare mask": Case(255 * blocks, "uint8"),
        "stripes": Case(200 * stripes, "uint8"),
        "wide stripes": Case(200 * (np.arange(HR[1]) // 64 % 2) * flat, "uint8"),
        "wall on a border, flat": Case(20 + 200 * (np.arange(HR[1]) // TILE) * flat, "uint16"),
        "wall on a border, land": Case(land() + 500 * (np.arange(HR[1]) // TILE), "uint16"),
        "road on a border": Case(bar(4000, TILE), "float32"),
        "dead line before a border": Case(np.where(np.arange(HR[1]) // 2 == 63, 0, land()), "uint16"),
        "ramp": Case(np.arange(HR[1]) / 77 * flat, "float32"),
        "noise, uint8": Case(rng.normal(128, 30, (2, *HR)), "uint8"),
        "noise around 0": Case(rng.normal(0, 1, (2, *HR)), "float32"),
        "speckle": Case(rng.exponential(1e-4, (1, *HR)), "float32"),
        "heavy tails": Case(rng.lognormal(0, 3, (1, *HR)), "float32"),
        "counts of few": Case(rng.poisson(0.3, (1, *HR)).astype(float), "uint8"),
        "huge, float32": Case(land() / 3000 * 1e35, "float32"),
        "huge, float64": Case(land() / 3000 * 1e300, "float64"),
        "tiny, float32": Case(land() / 3000 * 1e-38, "float32"),
        "tiny, float64": Case(land() / 3000 * 1e-300, "float64"),
        "kelvin": Case(290 + 0.5 * texture((1, *HR), 5.0), "float32"),
        "large offset": Case(1e9 + texture((1, *HR), 5.0), "float64"),
        "uint32": Case(4e9 + land(), "uint32"),
        "below 0": Case(land() - 4000, "int16"),
        "ndvi": Case(np.tanh(texture((1, *HR), 4.0)), "float32"),
        "a hole": Case(land(), "uint16", valid=_holes(slice(20, 50), slice(20, 50))),
        "a swath": Case(land() / 1e4, "float32", valid=_holes(slice(None), slice(9, None))),
        "nodata as salt": Case(land() / 1e4, "float32", valid=random_valid > 0.3),
        "few valid pixels": Case(land() / 1e4, "float32", valid=random_valid > 0.97),
        "one valid pixel": Case(land(), "uint16", valid=random_valid == random_valid[0].max()),
        "nothing valid": Case(land(), "uint16", valid=random_valid > 1),
        "valid by band": Case(land() / 1e4, "float32", valid=random_valid > np.array([-1, 0.5, 1]).reshape(3, 1, 1)),
    }
    for scale in ((2, 2, 2), (5, 1, 1), (1, 2, 2), (1, 1, 1)):
        cases[f"volume {scale}"] = Case(body(scale, 300.0), "int16", scale)
        cases[f"volume of air {scale}"] = Case(body(scale, -1000.0), "int16", scale)
        cases[f"float volume of air {scale}"] = Case(body(scale, 0.0), "float32", scale)
        cases[f"two slices {scale}"] = Case(body(scale, -1000.0)[:, : 2 * scale[0]], "int16", scale)
        cases[f"constant volume {scale}"] = Case(np.full_like(body(scale, 0.0), -1000.0), "int16", scale)
    return cases


def normal_cases() -> dict[str, Case]:
    """Scenes in which a mistake is to be seen."""
    names = ("land, uint16", "land, uint8", "land, reflectance", "saturated", "kelvin", "a hole")
    cases = right_cases()
    return {name: cases[name] for name in names}


def seams(sr: np.ndarray) -> np.ndarray:
    """Tiles without halo: what lies beyond a tile's edge was taken to be like the edge."""
    out = sr.copy()
    for axis in (-2, -1):
        view = np.moveaxis(out, axis, -1)
        view[..., TILE - 2 : TILE] = view[..., TILE - 3 : TILE - 2]
        view[..., TILE : TILE + 2] = view[..., TILE + 2 : TILE + 3]
    return out


def _in_tile(sr: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    out = sr.copy()
    out[:, TILE:, TILE:] = change(sr[:, TILE:, TILE:])
    return out


def span(sr: np.ndarray) -> float:
    return float(np.ptp(np.percentile(sr, (2, 98))))


WRONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shifted right": lambda sr: np.concatenate([sr[..., :1], sr[..., :-1]], -1),
    "shifted up": lambda sr: np.concatenate([sr[..., 1:, :], sr[..., -1:, :]], -2),
    "gain 1.05": lambda sr: sr * 1.05,
    "gain 0.95": lambda sr: sr * 0.95,
    "offset": lambda sr: sr + 0.1 * span(sr),
    "seams": seams,
    "brighter tile": lambda sr: _in_tile(sr, lambda tile: tile + 0.2 * span(sr)),
    "wrong tile": lambda sr: _in_tile(sr, lambda tile: sr[:, : tile.shape[1], : tile.shape[2]]),
    "flipped tile": lambda sr: _in_tile(sr, lambda tile: tile[..., ::-1]),
    "empty tile": lambda sr: _in_tile(sr, np.zeros_like),
    "bands swapped": lambda sr: sr[::-1],
    "flipped": lambda sr: sr[..., ::-1],
    "upside down": lambda sr: sr[:, ::-1],
    "a constant": lambda sr: np.full_like(sr, sr.mean()),
    "nothing": np.zeros_like,
    "inverted": lambda sr: sr.max() + sr.min() - sr,
}
"""Name to what the mistake makes of a right SR (C, Y, X), as float64."""
