"""Numbers that look like nodata are told, with their share; what is data is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.undeclared import Undeclared

RNG = np.random.default_rng(3)


def flags(values: np.ndarray, *, valid: np.ndarray | None = None, declared: bool = False, step: int = 24) -> Any:
    """Of a scene (C, Y, X) that comes in cores of `step` pixels."""
    valid = np.ones(values.shape, bool) if valid is None else valid
    shape = values.shape[1:]
    search = Undeclared(shape, [f"B{i}" for i in range(1, len(values) + 1)], str(values.dtype), declared=declared)
    for row in range(0, shape[0], step):
        for col in range(0, shape[1], step):
            window = (slice(row, min(row + step, shape[0])), slice(col, min(col + step, shape[1])))
            search.add(window, values[(slice(None), *window)], valid[(slice(None), *window)])
    return search.flags([[band[seen][::3]] for band, seen in zip(values, valid, strict=True)])


def field(low: float, high: float, dtype: str, bands: int = 1) -> np.ndarray:
    """Smooth ground (C, 50, 70) between two numbers."""
    y, x = np.mgrid[:50, :70]
    ground = np.sin(x / 9) + np.cos(y / 7) + 0.1 * RNG.standard_normal((bands, 50, 70))
    ground = low + (ground - ground.min()) / np.ptp(ground) * (high - low)
    return ground.astype(dtype)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "number", "text"),
    [
        (100, 2400, "float32", -9999, "-9999"),
        (-500, 900, "int16", -9999, "-9999"),
        (100, 2400, "int16", -32768, "-32768"),
        (0, 5000, "int32", -2147483648, "-2147483648"),
        (0, 1, "float32", -999, "-999"),
        (0, 1, "float64", 1e20, "1e+20"),
        (200, 3000, "uint16", 65535, "65535"),
    ],
)
@pytest.mark.parametrize("share", [0.0003, 0.01, 0.5])
def test_numbers_that_programs_write(
    low: float, high: float, dtype: str, number: float, text: str, share: float
) -> None:
    values = field(low, high, dtype, 2)
    count = max(1, round(share * 3500))
    values[1].flat[RNG.permutation(3500)[:count]] = number
    for step in (24, 70):
        (found,) = flags(values, step=step)
        assert found.startswith(f"{text} in B2 looks like nodata and is data here; {100 * count / 3500:.3g} %")
        assert found.endswith(f"--nodata {text} (nodata: {text} in the catalog)")


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-10000, 10000, "int16"), (-1, 1, "float32"), (0, 65535, "uint16"), (-12000, -9000, "float32"), (0, 255, "uint8")],
)
def test_the_same_numbers_among_others_are_data(low: float, high: float, dtype: str) -> None:
    values = field(low, high, dtype)
    for number in (-9999, -1, 0, 32767, 65535):
        if low <= number <= high:
            values.flat[::500] = number
    assert flags(values) == ()


def turned(values: np.ndarray, number: float) -> np.ndarray:
    """The values as a swath that lies across the scene, `number` around it."""
    y, x = np.mgrid[:50, :70]
    values[:, (x + y < 25) | (x + y > 95)] = number
    return values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_zeros_around_a_swath(dtype: str) -> None:
    values = turned(field(30, 200, dtype, 3), 0)
    share = 100 * float((values[0] == 0).mean())
    (found,) = flags(values)
    assert found.startswith(f"0 around the scene, in all bands looks like nodata and is data here; {share:.3g} %")
    assert flags(values, valid=values != 0) == ()


def test_white_around_a_photograph() -> None:
    (found,) = flags(turned(field(30, 200, "uint8", 3), 255))
    assert "--nodata 255" in found


def test_zeros_that_are_measured() -> None:
    """Rain and lights fade into 0; masks and dark corners of one band are no swath."""
    rain = np.maximum(field(-3, 3, "float32"), 0)
    assert (rain == 0).mean() > 0.2
    assert flags(rain) == ()
    assert flags((rain > 1).astype("uint8")) == ()
    one = field(30, 200, "uint8", 3)
    one[:1] = turned(one[:1], 0)
    assert flags(one) == ()
    inside = field(30, 200, "uint16", 2)
    inside[:, 20:30, 20:40] = 0
    assert flags(inside) == ()


def test_a_header_that_names_another_number() -> None:
    values = field(100, 2400, "float32")
    values[0, :5] = -9999
    (found,) = flags(values, declared=True)
    assert found.endswith("set it in a mask beside or inside the file")


@pytest.mark.parametrize("number", [-3.4028234663852886e38, 3.4e38, -1e30])
def test_what_nothing_can_be_computed_with_is_refused(number: float) -> None:
    values = field(100, 2400, "float32")
    values[0, :5] = number
    with pytest.raises(SourceError, match=r"in B1 looks like nodata.*found 10 % of the pixels; --nodata ") as caught:
        flags(values)
    assert caught.value.code == "UNDECLARED"
    number_given = float(str(caught.value).split("--nodata ")[1].split(" ")[0])
    assert np.float32(number_given) == np.float32(number)


def test_a_scene_of_nothing_else() -> None:
    (found,) = flags(np.full((1, 50, 70), -9999, "int16"))
    assert "100 % of the pixels" in found


def test_alpha_that_is_no_mask() -> None:
    search = Undeclared((4, 50), ["B1"], "uint8", declared=False)
    for part in (np.full((2, 50), 255), np.concatenate([np.zeros((1, 50)), np.full((1, 50), 128)])):
        search.add_alpha(part.astype("uint8"))
    assert search.flags([[]]) == ("25 % of the alpha band lies between 0 and full: it hides where it is 0 only",)
    mask = Undeclared((4, 50), ["B1"], "uint8", declared=False)
    mask.add_alpha(np.repeat(np.array([0, 255, 255, 0], np.uint8), 50))
    assert mask.flags([[]]) == ()


def test_noise_of_huge_numbers_ends() -> None:
    """Every pixel another number, none of them a measurement."""
    noise = (RNG.standard_normal((1, 300, 300)) * 1e35).astype("float32")
    with pytest.raises(SourceError, match="looks like nodata"):
        flags(noise, step=300)
