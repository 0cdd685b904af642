"""The work store: what is stored is read back or refused, and nothing is opened twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from srcore.dispatch import Workers
from srcore.errors import StoreError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages import plan as planning
from srcore.storage.chunks import arrays
from srcore.storage.chunks.arrays import Form, StoredArray, create_group
from srcore.storage.chunks.predictor import ZSTD, TiffPredictor
from srcore.storage.cog import Pixels, levels
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

    class Noted(LocalStore):
        def __init__(self, root: Path) -> None:
            names.append(root.name)
            super().__init__(root)

    monkeypatch.setattr(arrays, "LocalStore", Noted)
    return names


def test_a_group_is_what_zarr_would_have_made(tmp_path: Path) -> None:
    forms = {
        "tiles": Form((2, 1, 20, 24), "uint16", (1, 1, 20, 24)),
        "sr": Form((1, 64, 96), "uint16", (1, 16, 16), (1, 32, 32), tiff=True),
    }
    create_group(tmp_path / "ours", forms)
    (tmp_path / "ours/tiles/c").mkdir()  # of a run before
    create_group(tmp_path / "ours", forms)
    theirs = zarr.open_group(tmp_path / "theirs", mode="w", zarr_format=3)
    for name, form in forms.items():
        theirs.create_array(
            name,
            shape=form.shape,
            chunks=form.chunk,
            shards=form.shard,
            dtype=form.dtype,
            serializer=TiffPredictor() if form.tiff else "auto",
            compressors=ZSTD,
            fill_value=0,
        )
    roots = tmp_path / "ours", tmp_path / "theirs"
    found = [{p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()} for root in roots]
    assert found[0] == found[1]
    assert sorted(map(str, found[0])) == ["sr/zarr.json", "tiles/zarr.json", "zarr.json"]
    assert not (tmp_path / "ours/tiles/c").exists()


def test_an_array_is_what_its_document_says_now(tmp_path: Path) -> None:
    stored = StoredArray(tmp_path / "a/x", "s1")
    for size in (4, 6):  # the same place, another form
        create_group(tmp_path / "a", {"x": Form((size,), "uint8", (size,))})
        again = StoredArray(tmp_path / "a/x", "s1")
        again.write(slice(None), np.full(size, size, np.uint8))
        assert again.read(slice(None)).tolist() == [size] * size
        assert (zarr.open_array(tmp_path / "a/x")[:] == size).all()
    for wrong in (b"", b"{}", b"[]", b'{"zarr_format": 3, "node_type": "group"}', b"\xff"):
        (tmp_path / "a/x/zarr.json").write_bytes(wrong)
        with pytest.raises(StoreError) as told:
            _ = stored.array
        assert told.value.code == "TILE_DAMAGED"


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


def test_an_image_is_read_by_windows_as_zarr_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make_work(tmp_path / "work", make_scene(shape=(192, 160), nodata="alpha"))
    array, decoded = work.store.images["sr"].full, []
    decode = levels.decode_tile
    monkeypatch.setattr(levels, "decode_tile", lambda *given: decoded.append(given) or decode(*given))
    pixels = Pixels(work.encoded)
    assert pixels.shape == array.shape
    for top in range(0, array.shape[1], 90):
        for left in range(0, array.shape[2], 90):
            for band in range(array.shape[0]):
                at = band, slice(top, min(top + 90, array.shape[1])), slice(left, min(left + 90, array.shape[2]))
                np.testing.assert_array_equal(pixels[at], array[at])
    np.testing.assert_array_equal(pixels[...], array[...])
    blocks = -(-array.shape[1] // 64) * -(-array.shape[2] // 64) * array.shape[0]
    assert len(decoded) == blocks  # none of them twice


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
