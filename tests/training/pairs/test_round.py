"""Planted pairs as files: a retraining's COLLECT leaves each wrong one out by its code, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from srcore.errors import SourceError
from srcore.progress import silent
from srcore.storage.whole_images import read_bands
from srcore.training.data.collect import collect, find_pairs
from srcore.training.judge.evaluate import refuse_small
from tests.training.pairs.drawn import pair
from tests.training.pairs.files import CORNER, dataset, write, write_pair

APART_M = 50000.0
"""Between two places."""


def _bicubic(values: np.ndarray) -> np.ndarray:
    wide = ndimage.zoom(values[0].astype(float), 2, order=3, grid_mode=True, mode="nearest")
    return np.rint(wide).astype(values.dtype)[None]


def _plant(folder: Path) -> dict[str, str]:
    """Twenty right pairs and the wrong ones, each at a place of its own; gives the code of each wrong one."""
    planted: dict[str, tuple[str, Callable[[str, float], None]]] = {}

    def put(name: str, code: str, make: Callable[[str, float], None]) -> None:
        planted[name] = code, make

    a = pair(50)
    east = CORNER[0]
    put("shift5", "SHIFTED", lambda n, e: write_pair(folder, n, pair(51, shift_hr_px=(10, 0)), east=e))
    put("gain", "OTHER_GAIN", lambda n, e: write_pair(folder, n, a, east=e, values=(a.hr * 0.8 + 200).astype("u2")))
    put("crs", "OTHER_CRS", lambda n, e: write_pair(folder, n, a, east=e, crs="EPSG:32633"))
    put("origin", "DISJOINT", lambda n, e: write_pair(folder, n, a, east=e, corner=(east + e, 4e6)))
    put("place", "UNLIKE", lambda n, e: write_pair(folder, n, a, east=e, values=pair(52).hr))
    put("bicubic", "NO_DETAIL", lambda n, e: write_pair(folder, n, a, east=e, values=_bicubic(a.lr)))
    put("flat", "NO_CONTENT", lambda n, e: write_pair(folder, n, a, east=e, values=np.full_like(a.hr, 9)))
    half = np.where(np.arange(a.hr.shape[1])[:, None] < 100, 0, a.hr).astype("u2")
    put("nodata", "MOSTLY_NODATA", lambda n, e: write_pair(folder, n, a, east=e, values=half, nodata=0))
    put("scale3", "BAD_PAIR", lambda n, e: write_pair(folder, n, pair(53, scale=3), east=e))
    put("ratio", "NOT_A_MULTIPLE", lambda n, e: write_pair(folder, n, a, east=e, gsd=9.0))
    put(
        "bands",
        "BAD_PAIR",
        lambda n, e: write_pair(folder, n, a, east=e, values=np.repeat(a.hr, 2, 0), names=("R", "G")),
    )
    put("three", "BAD_PAIR", lambda n, e: write_pair(folder, n, a, east=e, values=np.repeat(a.hr, 3, 0)))
    for index, (name, (_, make)) in enumerate(planted.items()):
        make(name, (index % 8) * APART_M)
    for index in range(12):
        write_pair(folder, f"right{index}", pair(index), east=(index % 8) * APART_M)
    return {name: code for name, (code, _) in planted.items()}


def test_each_wrong_pair_is_left_out_by_its_code_and_stops_nothing(tmp_path: Path) -> None:
    wanted = _plant(tmp_path)
    moved, small = pair(60, shift_hr_px=(3.0, 0.0)), pair(61)
    write_pair(tmp_path, "moved", moved)
    write_pair(tmp_path, "small", small, values=small.hr[:, 4:, 4:], crs=None)
    entry = dataset(tmp_path, retrain={"place": "(.*)"})
    found = find_pairs(entry, tmp_path, tmp_path / "split.json")
    collected = collect(entry, found.pairs, (2, 2), tmp_path / "pairs", silent)
    out = {**found.left_out, **collected.left_out}
    assert set(collected.corrected) == {"moved", "small"}
    assert "moved back by +1.50 rows" in collected.corrected["moved"]
    assert {name: why.partition(":")[0] for name, why in out.items()} == wanted
    kept = {path.stem: path for path in (tmp_path / "pairs").glob("**/hr/*.tif")}
    assert set(kept) == {"moved", "small", *(f"right{index}" for index in range(12))}
    for name, one in (("right3", pair(3)), ("right4", pair(4))):
        assert np.array_equal(np.ma.getdata(read_bands(kept[name])), one.hr), "a right pair is left as it is"
    for name, truth in (("moved", pair(60)), ("small", small)):
        inside = np.ma.getdata(read_bands(kept[name]))[0].astype(float)
        wide = truth.hr[0].astype(float)
        errors = [
            np.abs(inside - wide[y : y + inside.shape[0], x : x + inside.shape[1]]).mean()
            for y in range(0, wide.shape[0] - inside.shape[0] + 1, 2)
            for x in range(0, wide.shape[1] - inside.shape[1] + 1, 2)
        ]
        assert min(errors) < 0.02 * np.ptp(wide), f"{name} lies where its LR lies"


def test_copies_with_a_little_noise_are_one_scene(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(6):
        write_pair(tmp_path, f"right{index}", pair(index), east=index * APART_M)
    for index in range(3):
        one = pair(0)
        noisy = (one.hr + rng.integers(-20, 20, one.hr.shape)).astype("u2")
        write_pair(tmp_path, f"copy{index}", one, values=noisy, east=(index + 1) * APART_M)
    entry = dataset(tmp_path)
    found = find_pairs(entry, tmp_path, tmp_path / "split.json")
    out = collect(entry, found.pairs, (2, 2), tmp_path / "pairs", silent).left_out
    assert len(out) == 3
    assert all(why.startswith("DUPLICATE") for why in out.values())


def test_mosaics_are_learned_from_as_the_scenes_that_they_are(tmp_path: Path) -> None:
    scenes = np.random.default_rng(0).integers(100, 4000, (4, 1, 160, 144), "u2")
    for index, whole in enumerate(scenes):
        middle = whole.shape[2] // 2
        east = CORNER[0] + index * APART_M
        write(tmp_path / f"parts/s{index}_0.tif", whole[:, :, : middle + 7], 10, corner=(east, CORNER[1]))
        write(tmp_path / f"parts/s{index}_1.tif", whole[:, :, middle:], 10, corner=(east + 10 * middle, CORNER[1]))
    mosaic = {"group": "{scene}_?.tif", "order": "first"}
    entry = dataset(tmp_path, source=f"{tmp_path}/parts/*.tif", hr=None, mosaic=mosaic)
    found = find_pairs(entry, tmp_path, tmp_path / "split.json")
    assert collect(entry, found.pairs, (2, 2), tmp_path / "pairs", silent).left_out == {}
    kept = {path.stem: path for path in (tmp_path / "pairs").glob("**/hr/*.tif")}
    assert len(kept) == 4
    for index, whole in enumerate(scenes):
        assert np.array_equal(np.ma.getdata(read_bands(kept[f"s{index}"])), whole)


def test_a_held_out_scene_that_is_too_small_to_be_judged_is_left_out(tmp_path: Path) -> None:
    scenes = np.random.default_rng(0).integers(100, 4000, (4, 1, 160, 144), "u2")
    corners = {f"s{index}": (CORNER[0] + index * APART_M, CORNER[1]) for index in range(4)}
    for (name, corner), values in zip(corners.items(), scenes, strict=True):
        write(tmp_path / f"in/{name}.tif", values, 10, corner=corner)
    entry = dataset(tmp_path, source=f"{tmp_path}/in/*.tif", hr=None)
    found = find_pairs(entry, tmp_path, tmp_path / "split.json")
    small = next(one.scene for one in found.pairs if one.held)
    write(tmp_path / f"in/{small}.tif", scenes[0][:, :12, :144], 10, corner=corners[small])
    refuse = partial(refuse_small, scales=(2, 2))
    out = collect(entry, found.pairs, (2, 2), tmp_path / "pairs", silent, judgeable=refuse).left_out
    assert {scene: why.partition(":")[0] for scene, why in out.items()} == {small: "PAIR_TOO_SMALL"}
    assert not [*(tmp_path / "pairs").glob(f"**/{small}.tif")]


def test_ten_identical_scenes_are_one(tmp_path: Path) -> None:
    for index in range(10):
        write_pair(tmp_path, f"copy{index}", pair(0))
    with pytest.raises(SourceError) as refused:
        find_pairs(dataset(tmp_path), tmp_path, tmp_path / "split.json")
    assert refused.value.code == "TOO_FEW_PAIRS"
    assert "same bytes" in str(refused.value)


def test_nothing_is_learned_from_a_restricted_dataset(tmp_path: Path) -> None:
    for index in range(4):
        write_pair(tmp_path, f"right{index}", pair(index), east=index * APART_M)
    with pytest.raises(SourceError) as refused:
        find_pairs(dataset(tmp_path, privacy="restricted"), tmp_path, tmp_path / "split.json")
    assert refused.value.code == "RESTRICTED"
    assert not (tmp_path / "split.json").exists()
