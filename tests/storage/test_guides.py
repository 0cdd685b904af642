"""Where guides lie: measured on windows, refused beyond half an LR pixel, and what is said where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.memory.arrays import ArrayReader, array_header
from srcore.storage.guides import Unguided, registered
from srcore.storage.header import Header

SIDE = 256


def texture(seed: int = 0, side: int = SIDE) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return 3000 + 4000 * ndimage.gaussian_filter(noise, 2, mode="wrap")


def scene(guide: NDArray[np.float64], band: NDArray[np.float64]) -> tuple[Header, ArrayReader]:
    """A guide, and a band of half its resolution that was seen in the same place."""
    coarse = band.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
    values = np.stack([guide, coarse.repeat(2, 0).repeat(2, 1)]).astype(np.uint16)
    header = array_header(values.shape, values.dtype, None)
    bands = (replace(header.bands[0], name="fine"), replace(header.bands[1], name="coarse", zoom=2, guided=True))
    header = replace(header, bands=bands, grid=Grid((SIDE, SIDE), ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))))
    return header, ArrayReader(values, header)


def test_what_lies_in_its_place_is_said_to() -> None:
    band = texture()
    for guide in (0.5 * band + 200, 9000 - band):  # near infrared is bright where red is dark
        found = registered(*scene(guide, band))
        assert found.shifts[0] is not None
        assert np.hypot(*found.shifts[0][1:]) < 0.03
        assert found.flag.startswith("the guides lie within 0.0")


@pytest.mark.parametrize(("rows", "columns"), [(0, 2), (1, 1), (6, -4), (-20, 12)])
def test_what_lies_beside_is_refused_with_how_far(rows: int, columns: int) -> None:
    band = texture()
    with pytest.raises(SourceError) as refused:
        registered(*scene(np.roll(band, (rows, columns), (0, 1)), band))
    assert refused.value.code == "NOT_REGISTERED"
    assert f"fine {rows / 2:+.2f}"[:-1] in str(refused.value)


def test_a_quarter_of_a_pixel_is_measured_and_goes() -> None:
    band = texture()
    found = registered(*scene(ndimage.shift(band, (0.5, 0), mode="wrap"), band))
    assert found.shifts[0] is not None
    assert found.shifts[0][1] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("guide", [texture(1), np.full((SIDE, SIDE), 500.0)], ids=["another scene", "flat"])
def test_what_has_nothing_in_common_says_nothing(guide: NDArray[np.float64]) -> None:
    found = registered(*scene(guide, texture()))
    assert found.shifts == (None,)
    assert "could not be measured" in found.flag


def test_hidden_guides_are_counted_where_the_band_is_seen() -> None:
    header, _ = scene(texture(), texture())
    counted = Unguided(header)
    valid = np.ones((2, 10, 10), bool)
    valid[0, :3] = False  # the guide
    valid[1, :2] = False  # the band
    counted.add(valid)
    assert counted.flags == ("coarse: a guide is hidden in 12.5 % of the pixels, which are interpolated there",)
    none = Unguided(replace(header, bands=header.bands[:1]))
    none.add(valid)
    assert none.flags == ()
