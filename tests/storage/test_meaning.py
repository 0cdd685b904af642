"""What numbers are: by names, and by a look; a look errs towards amounts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage

from srcore.storage.band import Band
from srcore.storage.meaning import (
    copied_flags,
    few_in_patches,
    hinted_values,
    look_like_angles,
    look_like_classes,
    named_values,
    told_values,
)


def patches(classes: int, seed: int = 0, shape: tuple[int, int] = (128, 128)) -> np.ndarray:
    """Ranks of classes, in patches whose neighbours come as they come."""
    rng = np.random.default_rng(seed)
    return np.argmax([ndimage.gaussian_filter(rng.standard_normal(shape), 5) for _ in range(classes)], axis=0)


def heights(levels: int, seed: int = 0) -> np.ndarray:
    """Whole numbers of a smooth surface, each next to the one above or below it."""
    surface = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((128, 128)), 12)
    return np.floor((surface - surface.min()) / np.ptp(surface) * (levels - 1e-6)).astype(int)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SCL", "categorical"),
        ("scl", "categorical"),
        ("Fmask", "categorical"),
        ("land_cover", "categorical"),
        ("QA_PIXEL", "bits"),
        ("BQA", "bits"),
        ("aspect", "circular"),
        ("B4", None),
        ("red", None),
        ("band 1", None),
        ("maskot", None),
    ],
)
def test_names_of_bands(name: str, expected: str | None) -> None:
    assert named_values(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LC08_L2SP_193029_20230602_20230607_02_T1_QA_PIXEL", "bits"),
        ("HLS.S30.T14RNQ.2023010T171701.v2.0.Fmask", "categorical"),
        ("esa_worldcover_2021", "categorical"),
        ("cloud mask 10 m", "categorical"),
        ("wind-direction", "circular"),
        ("LC08_L2SP_193029_20230602_20230607_02_T1_SR_B4", None),
        ("S2A_MSIL2A_20170703T101021_B04_10m", None),
        ("unmasked", None),
        ("", None),
    ],
)
def test_words_in_names(name: str, expected: str | None) -> None:
    assert hinted_values(name) == expected


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("codes", [[0, 1], [0, 255], [10, 20, 30, 95], [1, 2, 3, 4, 5, 6, 7], list(range(20))])
def test_patches_of_few_numbers_are_classes(dtype: str, codes: list[int]) -> None:
    window = np.array(codes, dtype)[patches(len(codes))]
    assert look_like_classes([window])
    assert few_in_patches([window])
    if dtype == "float32":  # what a number hides is NaN in a window
        assert look_like_classes([np.where(np.arange(128) < 30, np.nan, window).astype(dtype)])


@pytest.mark.parametrize(
    "window",
    [
        np.full((128, 128), 7, np.uint8),
        np.eye(128, dtype=np.uint16) * 0 + (np.arange(128 * 128).reshape(128, 128) == 77) * np.uint16(60000),
        np.random.default_rng(0).integers(0, 4, (128, 128)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8),
        heights(13).astype(np.int16),
        heights(13).astype(np.float32),
        heights(60).astype(np.uint8),
        patches(7).astype(np.float32) + 0.5,
        patches(3, shape=(16, 16)).astype(np.uint8),
        np.empty((0, 128), np.uint8),
        np.full((40, 40), np.nan, np.float32),
    ],
    ids=[
        "constant",
        "one bright pixel",
        "noise of four numbers",
        "noise",
        "whole metres of a coast",
        "the same as floats",
        "a ramp of bytes",
        "half numbers",
        "few pixels",
        "empty",
        "nothing valid",
    ],
)
def test_amounts_are_no_classes(window: np.ndarray) -> None:
    assert not look_like_classes([window])


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("int16", 13), ("float32", 13), ("int16", 60)])
def test_where_no_heights_are_measured_a_few_numbers_in_order_are_classes(dtype: str, bands: int) -> None:
    assert look_like_classes([heights(bands).astype(dtype)], heights=False) == (bands < 60)


def test_a_look_ends_with_the_first_window_of_many_numbers() -> None:
    seen = []

    def windows() -> Iterator[np.ndarray]:
        for number in range(16):
            seen.append(number)
            yield np.arange(number, number + 128 * 128).reshape(128, 128)

    assert not look_like_classes(windows())
    assert seen == [0]


def angles(turn: float, low: float) -> np.ndarray:
    """Directions around a few peaks."""
    surface = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((128, 128)), 4)
    return ((np.arctan2(*np.gradient(surface)) / (2 * np.pi) % 1) * turn + low).astype(np.float32)


@pytest.mark.parametrize(("turn", "low"), [(360, 0), (360, -180), (2 * np.pi, 0), (2 * np.pi, -np.pi)])
def test_a_turn_whose_ends_meet_is_of_angles(turn: float, low: float) -> None:
    assert look_like_angles([angles(turn, low)], named=False)
    assert look_like_angles([angles(turn, low)[:30, :30]], named=True)


@pytest.mark.parametrize(
    "window",
    [
        np.linspace(0, 360, 128 * 128).reshape(128, 128),
        angles(360, 0) * 1.2,
        angles(360, 0) / 2,
        np.full((30, 30), 7.0),
        np.full((30, 30), np.nan),
        np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8),
    ],
    ids=["heights to 360", "more than a turn", "half a turn", "constant", "nothing valid", "bytes"],
)
def test_others_are_no_angles(window: np.ndarray) -> None:
    assert not look_like_angles([window], named=False)


def test_what_the_user_says_of_a_band() -> None:
    assert told_values("bits", "B4") == "bits"
    assert told_values({"QA": "bits", "2": "circular"}, "QA", "1") == "bits"
    assert told_values({"QA": "bits", "2": "circular"}, "aspect", "2") == "circular"
    assert told_values({"QA": "bits"}, "B4", "1") == "auto"


def test_flags_name_the_bands_by_what_they_are() -> None:
    named = [("B4", "continuous"), ("SCL", "categorical"), ("QA", "bits"), ("water", "categorical")]
    bands = [Band("a", i, name, values=values) for i, (name, values) in enumerate(named)]
    told = copied_flags(bands)
    assert [flag.split(",")[0] for flag in told] == ["SCL", "QA: bits"]
    assert told[0].startswith("SCL, water: categorical (classes), each SR pixel is the LR pixel it lies in")
    assert copied_flags(bands[:1]) == ()
