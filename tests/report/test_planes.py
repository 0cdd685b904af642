"""The planes of a volume: every picture is of the place and the side that it says, in light that is told."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srcore.grid import Grid
from srcore.report.planes import BYTES, SIDE, PlaneCollector, Planes, Slice, views
from srcore.report.shades import CT_WINDOWS, by_percentiles, of_ct

CT = of_ct(1.0, 0.0)
RAS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
"""Columns to the right, rows to the front, slices to the head."""
LPS = ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
"""As DICOM mostly has them: columns to the left, rows to the back."""
SAGITTAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, -1.0, 0.0))
"""Slices to the right, rows to the feet, columns to the back."""


def grid(shape: tuple[int, ...], axes: tuple[tuple[float, ...], ...], steps: tuple[float, ...] = (1, 1, 1)) -> Grid:
    """In the middle of the world."""
    rows = [[value * step for value, step in zip(row, steps, strict=True)] for row in axes]
    origin = [-sum(value * n / 2 for value, n in zip(row, shape, strict=True)) for row in rows]
    return Grid(shape, tuple((*row, start) for row, start in zip(rows, origin, strict=True)))


def collected(
    place: Grid, scale: tuple[int, ...], lr: NDArray[np.int16], sr: NDArray[np.int16], core: int = 64
) -> Planes:
    """Of a volume that comes in cubes of `core` LR voxels."""
    collector = PlaneCollector(place, scale, CT)
    for z in range(0, lr.shape[0], core):
        for y in range(0, lr.shape[1], core):
            for x in range(0, lr.shape[2], core):
                window = tuple(slice(a, min(a + core, n)) for a, n in zip((z, y, x), lr.shape, strict=True))
                fine = tuple(slice(w.start * s, w.stop * s) for w, s in zip(window, scale, strict=True))
                collector.add(window, lr[window], sr[fine], np.ones(lr[window].shape, bool))
    return collector.planes()


def codes(data: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(data)), np.float64)


def of(planes: Planes, name: str) -> list[Slice]:
    return list(next(one for one in planes.planes if one.name == name).slices)


def bright(data: bytes) -> tuple[float, float]:
    """Where the middle of what is bright lies: shares of the way down and across."""
    picture = codes(data) - codes(data).min()
    down, across = (np.arange(n) + 0.5 for n in picture.shape)
    total = picture.sum()
    return float(picture.sum(1) @ down / total / len(down)), float(picture.sum(0) @ across / total / len(across))


@pytest.mark.parametrize("axes", [RAS, LPS, SAGITTAL])
@pytest.mark.parametrize("core", [64, 5])
def test_a_body_part_stands_where_the_letters_say(axes: tuple[tuple[float, ...], ...], core: int) -> None:
    """A bright ball on the patient's right, at the front and towards the head, in every array order, in any tiles."""
    place = grid((24, 20, 16), axes)
    at = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in place.shape), indexing="ij"), -1)
    world = at @ place.matrix[:, :3].T + place.matrix[:, 3]
    lr = np.where(np.linalg.norm(world - [4, 4, 4], axis=-1) < 3, 1000, -1000).astype(np.int16)
    planes = collected(place, (1, 1, 1), lr, lr, core)
    assert [one.name for one in planes.planes] == ["Axial", "Coronal", "Sagittal"]
    assert planes.planes[0].letters == ("A", "P", "R", "L")
    told = {"Axial": "S 4.5 mm", "Coronal": "A 4.5 mm", "Sagittal": "R 4.5 mm"}
    for name, words in told.items():
        one = next(each for each in of(planes, name) if each.told == words)
        for data in (one.before, one.after):
            down, across = bright(data)
            assert down < 0.45  # at the front, or towards the head: above
            assert across < 0.45  # on the right, or at the front: left
    for plane in planes.planes:
        places = [one.place for one in plane.slices]
        assert places == sorted(places)  # from feet to head, back to front, left to right
        assert set(plane.links) == {"Axial", "Coronal", "Sagittal"} - {plane.name}


def test_input_and_product_are_of_the_same_height() -> None:
    """Each slice of the product lies in the slice of the input that is shown with it, by their numbers."""
    place = grid((7, 4, 4), LPS, (5, 1, 1))
    lr = np.broadcast_to((np.arange(7, dtype=np.int16) * 40)[:, None, None], (7, 4, 4))
    sr = np.broadcast_to((np.arange(35, dtype=np.int16) * 8 - 16)[:, None, None], (35, 4, 4))
    for one in of(collected(place, (5, 1, 1), lr, sr), "Axial"):
        before, after = codes(one.before).mean(), codes(one.after).mean()
        mm = float(one.told[2:-3]) * (1 if one.told[0] == "S" else -1)
        index = int(mm + 17.5)
        assert after == pytest.approx(float(CT.of(np.array(index * 8 - 16))), abs=1.5)
        assert before == pytest.approx(float(CT.of(np.array(index // 5 * 40))), abs=1.5)


def test_pictures_are_bounded_whatever_the_volume_holds() -> None:
    rng = np.random.default_rng(2)
    lr = rng.integers(-1000, 1500, (40, 330, 330)).astype(np.int16)
    planes = collected(grid(lr.shape, LPS), (2, 1, 1), lr, lr.repeat(2, axis=0), 330)
    sizes = [len(data) for plane in planes.planes for one in plane.slices for data in (one.before, one.after)]
    assert sum(sizes) <= BYTES
    assert max(max(codes(plane.slices[0].after).shape) for plane in planes.planes) <= SIDE
    assert planes.coarser[0].startswith("axial ")
    assert "voxels a pixel" in planes.coarser[0]
    assert Planes.from_json(planes.to_json()) == planes


def test_cells_are_means_of_their_voxels_across_tiles() -> None:
    """A ramp of 700 columns in tiles of 64: its pictures are the ramp in cells of 3."""
    lr = np.broadcast_to((np.arange(700, dtype=np.int16) - 300), (2, 6, 700))
    planes = collected(grid(lr.shape, RAS), (1, 1, 1), lr, lr)
    found = codes(of(planes, "Axial")[0].after)[2][::-1]
    assert found.shape == (-(-700 // 3),)
    assert np.abs(found - CT.of(np.arange(len(found)) * (700 / len(found)) + 1 - 300)).max() < 3


@pytest.mark.parametrize(("name", "level", "width"), CT_WINDOWS)
def test_a_window_is_black_below_white_above_and_straight_between(name: str, level: float, width: float) -> None:
    shade = next(one for one in CT.shades if one.name == name)
    hu = np.linspace(level - width / 2, level + width / 2, 41)
    found = np.array(shade.lights)[CT.of(hu)]
    assert np.abs(found - (hu - level) / width - 0.5).max() < 0.03
    assert np.array(shade.lights)[CT.of(np.array([-2000]))].tolist() == [0]  # what is nothing is black in all
    ends = np.array([-1350, 1300])
    assert np.array(shade.lights)[CT.of(ends)] == pytest.approx(np.clip((ends - level) / width + 0.5, 0, 1), abs=0.01)


def test_windows_of_other_volumes_are_percentiles_of_the_input() -> None:
    sample = np.concatenate([np.arange(1000.0), [np.nan, np.inf]])
    found = by_percentiles(sample)
    usual = np.array(found.shades[0].lights)
    assert usual[found.of(np.array([19.0]))] == pytest.approx(0, abs=0.01)
    assert usual[found.of(np.array([980.0]))] == pytest.approx(1, abs=0.01)
    assert by_percentiles(np.full(9, 7)).of(np.array([7])).tolist() == [0]
    assert by_percentiles(np.zeros(0)).of(np.array([np.nan, 0.0])).tolist() == [0, 0]


def test_an_oblique_volume_says_so() -> None:
    turned = np.deg2rad(20)
    axes = ((0.0, 0.0, -1.0), (np.sin(turned), -np.cos(turned), 0.0), (np.cos(turned), np.sin(turned), 0.0))
    found, degrees = views(grid((8, 8, 8), axes))
    assert degrees == pytest.approx(20)
    assert [one.axes[0] for one in found] == [0, 1, 2]


def test_a_ct_that_is_stored_upside_down_looks_like_any_other() -> None:
    stored = np.array([-1000.0, 0, 40, 300, np.nan])
    assert np.array_equal(of_ct(-2.0, 10.0).of((stored - 10) / -2), CT.of(stored))


def test_a_specimen_of_a_few_micrometres_has_a_size_and_a_bar() -> None:
    place = grid((4, 4, 4), RAS, (1e-4, 1e-4, 1e-4))
    values = np.zeros((4, 4, 4), np.int16)
    for plane in collected(place, (1, 1, 1), values, values).planes:
        assert plane.size_mm == pytest.approx((4e-4, 4e-4))
    larger = collected(grid((4, 4, 4), RAS, (0.1, 0.1, 0.1)), (1, 1, 1), values, values)
    assert larger.planes[0].bar_mm == 0.1
