"""The work store: what is stored is read back or refused, and nothing is opened twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from srcore.dispatch import Workers
from srcore.errors import StoreError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages import plan as planning
from srcore.storage.work import scene_plan
from srcore.storage.work.markers import ImageSums, Maker, Markers
from srcore.storage.work.scene_plan import ScenePlan
from tests.faults.archive import write_scene
from tests.storage.cog.product_cases import make_scene
from tests.storage.cog.work_cases import make_work

HERE = Workers(0)


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the arrays that are opened from now on."""
    names: list[str] = []
    open_array = zarr.open_array

    def noted(root: Path, **options: Any) -> Any:
        names.append(Path(root).name)
        return open_array(root, **options)

    monkeypatch.setattr(zarr, "open_array", noted)
    return names


def test_a_store_opens_each_array_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = opened(monkeypatch)
    work = make_work(tmp_path / "work", make_scene(shape=(192, 160), nodata="alpha"))
    assert len(work.store.plan.tiles) == 30
    assert work.store.pending() == []
    work.verify(work.write(tmp_path / "product.tif"))
    assert sorted(names) == ["alpha", "sr", "tiles", "valid"]


def test_a_run_of_thirty_tiles_opens_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_scene(tmp_path / "scene.tif", shape=(192, 160))
    names = opened(monkeypatch)
    job = direct_job(str(source), tmp_path / "sr.tif", model="bicubic-x2", tile=32, block=32)
    receipt = run_scene(job, HERE)
    assert receipt is not None
    assert receipt.parameters["tiles"] == 30
    print(f"\n30 tiles, {len(names)} arrays opened")
    assert len(names) < 30


def test_overviews_are_stored_where_tiles_can_make_them(tmp_path: Path) -> None:
    cases: dict[str, tuple[dict[str, Any], int, set[str]]] = {
        "both": ({"shape": (128, 64)}, 64, {"full", "half", "quarter"}),
        "no multiple of four": ({"shape": (127, 64)}, 64, {"full", "half"}),
        "odd": ({"shape": (67, 64), "scale": (3, 3)}, 64, {"full"}),
        "half a block": ({"shape": (128, 64)}, 32, {"full"}),
        "no overview": ({"shape": (32, 32)}, 32, {"full"}),
        "mask of floats": ({"shape": (128, 64), "nodata": "mask", "dtype": "float32"}, 64, {"full"}),
    }
    for name, (case, tile, expected) in cases.items():
        store = make_work(tmp_path / name, make_scene(**case), tile).store
        assert set(store.images["sr"].arrays) == expected, name


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    work = make_work(tmp_path / "work", make_scene(shape=(64, 60)), tile=32)
    shard = tmp_path / "work/sr.zarr/sr/c/0/1/0"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(StoreError, match="sr of scene is damaged"):
        work.store.check_sr(work.store.plan.tiles[2])
    assert work.store.pending() == [2]
    with pytest.raises(StoreError, match="tile 2 of scene has no marker"):
        work.store.encoded()


def test_a_marker_says_what_was_put(tmp_path: Path) -> None:
    markers = Markers(tmp_path, "now", "scene")
    sums = ImageSums({"full": 7, "half": 8})
    markers.put(3, {"sr": sums}, Maker("cpu"))
    assert markers.require(3, "sr") == sums
    assert (markers.get(3).maker, markers.get(4)) == (Maker("cpu"), None)  # type: ignore[union-attr]
    assert Markers(tmp_path, "then", "scene").get(3) is None
    with pytest.raises(StoreError) as caught:
        markers.require(3, "trust")
    assert caught.value.code == "TILE_MISSING"
    markers.drop(3)
    assert markers.get(3) is None


def test_a_scratch_of_another_format_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_scene(tmp_path / "scene.tif", shape=(40, 40))
    job = direct_job(str(source), tmp_path / "sr.tif", model="bicubic-x2")
    for module in (scene_plan, planning):
        monkeypatch.setattr(module, "FORMAT", 1)
    run_scene(job, HERE, until="upscale")
    [before] = tmp_path.glob(".sr.srcore/*/plan.json")
    monkeypatch.undo()
    with pytest.raises(StoreError, match="of another version of srcore; found format 1"):
        ScenePlan.load(before)
    assert run_scene(job, HERE, until="plan") is None
    [after] = tmp_path.glob(".sr.srcore/*/plan.json")
    assert after.parent != before.parent
    assert ScenePlan.load(after).tiles.block == 512
    np.testing.assert_array_equal([p.name for p in after.parent.iterdir()], ["plan.json"])
