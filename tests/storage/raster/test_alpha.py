"""A band that is called alpha: a mask where its values say so, data where they or the user do, else refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srcore.choices import AlphaRule
from srcore.errors import SourceError
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene


def alpha_of(between: float) -> np.ndarray:
    """Opacity (40, 50) of which such a share is neither 0 nor full."""
    values = np.full(2000, 255, np.uint8)
    values[:200] = 0
    values[200 : 200 + round(2000 * between)] = np.arange(round(2000 * between)) % 250 + 3
    return np.random.default_rng(0).permutation(values).reshape(40, 50)


@pytest.fixture
def write(write_raster, landscape) -> Callable[..., Path]:
    def make(alpha: np.ndarray, **options: object) -> Path:
        colours = landscape(3, (40, 50), "uint8")
        return write_raster(np.concatenate([colours, alpha[None]]), **{"photometric": "RGB", "alpha": "YES", **options})

    return make


def valid_share(path: Path, **wishes: object) -> tuple[int, float]:
    """Data bands, and the share of their pixels that is valid."""
    header = read_raster_header([path], **wishes)
    with open_raster_scene(header) as reader:
        valid = reader.read((slice(0, 40), slice(0, 50)))[1]
    return len(valid), float(valid.mean())


@pytest.mark.parametrize(("between", "bands"), [(0, 3), (0.02, 3), (0.03, None), (0.49, None), (0.51, 4), (0.9, 4)])
def test_the_values_tell(write, between: float, bands: int | None) -> None:
    """Nearly all 0 or full: a mask; mostly between: data, flagged; in the middle a person has to say it."""
    path = write(alpha_of(between))
    if bands is None:
        with pytest.raises(SourceError, match=r"--alpha mask or --alpha data \(alpha: in the catalog\)") as caught:
            read_raster_header([path])
        assert caught.value.code == "ALPHA"
        return
    assert valid_share(path) == (bands, 0.9 if bands == 3 else 1.0)
    flags = read_raster_header([path]).flags
    assert any("it is taken as data" in flag for flag in flags) == (bands == 4)


@pytest.mark.parametrize("between", [0, 0.3, 0.9])
@pytest.mark.parametrize(("alpha", "expected"), [("mask", (3, 0.9)), ("data", (4, 1.0))])
def test_the_user_decides(write, between: float, alpha: AlphaRule, expected: tuple[int, float]) -> None:
    assert valid_share(write(alpha_of(between)), alpha=alpha) == expected


def test_a_band_that_is_named_is_data(write) -> None:
    path = write(alpha_of(0))
    for bands in (["1", "2", "3", "4"], ["4"]):
        header = read_raster_header([path], bands=bands)
        assert header.alpha is None
        assert [band.colour for band in header.bands][-1] == "undefined"
        assert any("band 4 is called alpha and is named" in flag for flag in header.flags)
    with pytest.raises(SourceError, match="band 4 is the mask"):
        read_raster_header([path], bands=["1", "4"], alpha="mask")


def test_bands_without_it_keep_their_pixels(write) -> None:
    """Near infrared that nobody asked for hides nothing either."""
    assert valid_share(write(alpha_of(0.9)), bands=["1", "2"]) == (2, 1.0)


def test_scales_of_alpha(write_raster, landscape) -> None:
    """Full is the greatest number there is: 1 of a float, 4095 of twelve bits."""
    for dtype, full in (("float32", 1), ("uint16", 4095), ("uint16", 65535)):
        opacity = (alpha_of(0) / 255 * full).astype(dtype)
        values = np.concatenate([landscape(3, (40, 50), "uint16").astype(dtype), opacity[None]])
        assert valid_share(write_raster(values, photometric="RGB", alpha="YES")) == (3, 0.9)
