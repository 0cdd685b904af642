"""Laws of overviews: the fast way for even sizes gives the numbers of the general one, to the bit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from srcore.storage.cog import pyramid
from srcore.storage.cog.product import Rect
from srcore.storage.cog.pyramid import halve, overview, reduction
from srcore.storage.cog.statistics import Statistics
from srcore.storage.header import Header
from srcore.storage.numbers import DTYPES
from tests.storage.cog.product_cases import make_scene


@dataclass(frozen=True)
class Held:
    """A level in memory."""

    stored: np.ndarray
    usable: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.stored.shape[1], self.stored.shape[2]

    def band(self, band: int, rect: Rect) -> np.ndarray:
        return self.stored[band, rect.rows, rect.cols]

    def mask(self, rect: Rect) -> np.ndarray:
        return self.usable[rect.rows, rect.cols]


def level(dtype: str, count: int, shape: tuple[int, int] = (60, 62)) -> Held:
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind == "f":
        stored = rng.normal(0, 1e5, (count, *shape)).astype(dtype)
        stored[rng.random(stored.shape) < 0.2] = np.nan
    else:
        ends = np.iinfo(dtype)
        stored = rng.integers(ends.min, ends.max, (count, *shape), endpoint=True).astype(dtype)
    stored[rng.random(stored.shape) < 0.3] = 7
    stored[-1, rng.random(shape) < 0.3] = 0
    return Held(stored, rng.random(shape) >= 0.4)


def header_of(dtype: str, nodata: str) -> Header:
    return make_scene(dtype=dtype, nodata=nodata, number=7.0 if nodata == "tag" else None, bands=2).header


FORMS = [
    (dtype, nodata)
    for dtype in DTYPES
    for nodata in ("none", "tag", "mask", "alpha", "nan")
    if nodata != "nan" or np.dtype(dtype).kind == "f"
]


@pytest.mark.parametrize(("dtype", "nodata"), FORMS)
def test_even_sizes_take_the_short_way_to_the_same_numbers(
    dtype: str, nodata: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = header_of(dtype, nodata)
    finer = level(dtype, 2 + (header.alpha is not None))
    rect = Rect(slice(3, 30), slice(5, 31))
    short = overview(finer, rect, header)
    whole = overview(finer, Rect(slice(0, 30), slice(0, 31)), header)
    monkeypatch.setattr(pyramid, "_is_even", lambda shape: False)
    for found, expected in zip(short, overview(finer, rect, header), strict=True):
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(whole[0][:, rect.rows, rect.cols], short[0])


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    header, finer = header_of("int16", "mask"), level("int16", 2)
    once = halve(finer.stored, finer.usable, header)
    monkeypatch.setattr(pyramid, "CACHED_PIXELS", 1)
    for found, expected in zip(halve(finer.stored, finer.usable, header), once, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_do_not_depend_on_how_the_scene_is_cut(dtype: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.uniform(0, 120, (64, 64)).astype(dtype)
    usable = rng.random(values.shape) > 0.2
    if np.dtype(dtype).kind == "f":
        values[3, 3] = np.nan
    good = values[usable & np.isfinite(values)].astype(np.float64)
    cut = Statistics()
    for rows in np.array_split(np.arange(64), 5):
        cut = cut.merged(Statistics.of(values[rows], usable[rows]))
    for found in (Statistics.of(values, usable), cut, Statistics().merged(cut), cut.merged(Statistics())):
        assert (found.count, found.seen) == (good.size, values.size)
        np.testing.assert_allclose(
            [found.least, found.greatest, found.mean, found.std],
            [good.min(), good.max(), good.mean(), good.std()],
            rtol=1e-13,
        )


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", "none"), ("uint8", "tag"), ("int16", "mask"), ("float32", "nan")]
)
@pytest.mark.parametrize("shape", [(60, 62), (61, 62), (60, 63), (7, 5)])
def test_classes_have_no_average(dtype: str, nodata: str, shape: tuple[int, int]) -> None:
    """Each overview pixel is one of those beneath it, usable where any is; the fast way gives the same."""
    held = level(dtype, 2, shape)
    header = header_of(dtype, nodata)
    header = replace(header, bands=tuple(replace(band, values="categorical") for band in header.bands))
    whole = Rect(*(slice(0, -(-size // 2)) for size in shape))
    values, mask = overview(held, whole, header)
    nothing = {"none": 0, "tag": 7, "mask": 0, "nan": np.nan}[nodata]
    for band, row, col in np.ndindex(values.shape):
        rows, cols = reduction(shape[0], slice(row, row + 1)), reduction(shape[1], slice(col, col + 1))
        beneath = held.stored[band, rows.source, cols.source]
        usable = np.isfinite(beneath) if beneath.dtype.kind == "f" else np.ones(beneath.shape, bool)
        if nodata == "tag":
            usable &= beneath != 7
        if nodata == "mask":
            usable &= held.usable[rows.source, cols.source]
        expected = beneath[usable][0] if usable.any() else nothing
        np.testing.assert_array_equal(values[band, row, col], expected)
    if not any(size % 2 for size in shape):
        fast, fast_mask = halve(held.stored, held.usable if nodata == "mask" else None, header)
        np.testing.assert_array_equal(fast, values)
        np.testing.assert_array_equal(fast_mask, mask)
