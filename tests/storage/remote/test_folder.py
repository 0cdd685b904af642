"""A provider's product as a folder of a bucket: the header of the local one, and no file fetched that is not needed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srcore.catalog import load_catalog
from srcore.errors import CatalogError, SRError
from srcore.storage.archive.sources import find_scenes
from srcore.storage.header import Header
from srcore.storage.remote import fetch as fetching
from srcore.storage.remote.card import Card
from srcore.storage.remote.folder import _put
from srcore.storage.remote.listing import card_at, forget_lists, listed
from srcore.storage.scene import open_scene, read_header
from tests.elsewhere import Elsewhere
from tests.storage.providers.products import NAME, make_landsat, make_safe, pixels, write


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.01)


def upload(world: Elsewhere, folder: Path, place: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            world.put(f"/bucket/{place}/{path.relative_to(folder)}", path.read_bytes())


def fetched(world: Elsewhere) -> set[str]:
    return {one.rpartition("/")[2] for one in world.asked if one.startswith("GET /bucket/")}


def values(header: Header) -> np.ndarray:
    with open_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))[0]


def scenes(source: str) -> list[Any]:
    forget_lists()
    return list(listed(source, None))


def code(card: Path, bands: Sequence[str] | None = None, **wishes: Any) -> str:
    with pytest.raises(SRError) as caught:
        read_header([card], bands=bands, **wishes)
    assert "\n" not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("source", ["s3://bucket/in/*.SAFE", "s3://bucket/in/{scene}.SAFE", "s3://bucket/**/*.SAFE"])
def test_a_safe_folder_of_a_bucket_is_the_scene_of_the_folder(world: Elsewhere, tmp_path: Path, source: str) -> None:
    safe = make_safe(tmp_path)
    (safe / "preview.jpg").write_bytes(b"not needed")
    upload(world, safe, f"in/{safe.name}")
    world.put("/bucket/in/readme.txt", b"of somebody")
    [one] = scenes(source)
    assert one.id == NAME
    assert fetched(world) == set()
    wishes: dict[str, Any] = {"bands": ["B04", "nir", "B11"], "quality": {"layer": "SCL", "as_": "nodata"}}
    there, here = read_header([one.card], **wishes), read_header([safe], **wishes)
    assert [band.name for band in there.bands] == ["B04", "B08", "B11"]
    assert fetched(world) == {
        "MTD_MSIL2A.xml",
        "MTD_TL.xml",
        *(f"T32TQM_20240601T103021_{name}m.jp2" for name in ("B04_10", "B08_10", "B11_20", "SCL_20")),
    }
    assert (there.grid, there.taken, there.properties, there.flags) == (
        here.grid,
        here.taken,
        here.properties,
        here.flags,
    )
    assert there.quality is not None
    assert there.quality.share == here.quality.share  # type: ignore[union-attr]
    assert np.array_equal(values(there), values(here))
    assert there.paths == (one.card,)
    assert [origin.href.rpartition("_")[2] for origin in there.origins] == [
        "TL.xml",
        "MSIL2A.xml",
        *["10m.jp2"] * 2,
        *["20m.jp2"] * 2,
    ]


def test_the_empty_object_that_stands_for_a_folder_is_no_scene(world: Elsewhere, tmp_path: Path) -> None:
    """As a console of S3 and tools that mount a bucket write it."""
    safe = make_safe(tmp_path)
    upload(world, safe, f"in/{safe.name}")
    for folder in ("in/", f"in/{safe.name}/", f"in/{safe.name}/GRANULE/"):
        world.put(f"/bucket/{folder}", b"")
    for source in ("s3://bucket/in/*.SAFE", "s3://bucket/*/*.SAFE", "s3://bucket/**/*.SAFE"):
        [one] = scenes(source)
        assert read_header([one.card], bands=["B04"]).bands[0].name == "B04"


def test_landsat_and_hls_are_known_by_what_lies_in_the_folder(world: Elsewhere, tmp_path: Path) -> None:
    make_landsat(tmp_path / "landsat")
    upload(world, tmp_path / "landsat", "in/LC09 über")
    name = "HLS.S30.T32TQM.2024153T103021.v2.0"
    for layer in ("B04", "B03", "Fmask"):
        write(tmp_path / f"hls/{name}.{layer}.tif", pixels(10, 1).astype(np.int16), 30, nodata=-9999)
    upload(world, tmp_path / "hls", f"in/{name}")
    world.put("/bucket/in/else/notes.tif", b"no product")
    found = {one.name: one for one in scenes("s3://bucket/in/*")}
    assert sorted(found) == [name, "LC09 über"]
    upload(world, tmp_path / "landsat", "in/year/LC09_L2SP_deeper")  # a folder of products is none
    assert sorted(one.name for one in scenes("s3://bucket/in/*")) == [name, "LC09 über"]
    assert [one.name for one in scenes("s3://bucket/in/**/LC09_*deeper")] == ["LC09_L2SP_deeper"]
    landsat = read_header([found["LC09 über"].card], bands=["red"])
    assert (landsat.bands[0].name, landsat.bands[0].scale, landsat.bands[0].offset) == ("B4", 2.75e-05, -0.2)
    assert np.array_equal(values(landsat)[0], values(read_header([tmp_path / "landsat"], bands=["red"]))[0])
    assert not {one for one in fetched(world) if one.endswith(("B2.TIF", "B3.TIF", "QA_PIXEL.TIF"))}
    assert [band.name for band in read_header([found[name].card]).bands] == ["B03", "B04"]


def test_what_is_missing_changed_cut_or_denied_is_one_line_with_its_code(world: Elsewhere, tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    upload(world, safe, f"in/{safe.name}")
    red = next(path for path in world.files if "B04" in path)
    [one] = scenes("s3://bucket/in/*.SAFE")
    world.faults[red] = ["cut"]
    assert read_header([one.card], bands=["B04"]).bands[0].name == "B04"
    blue = red.replace("B04", "B02")
    world.faults[blue] = [403]
    assert code(one.card, ["B02"]) == "REMOTE_DENIED"
    world.put(blue, world.files[blue].content + b" ")
    assert code(one.card, ["B02"]) == "SOURCE_CHANGED"
    before = one.card.read_bytes()
    [one] = scenes("s3://bucket/in/*.SAFE")
    assert one.card.read_bytes() != before
    del world.files[blue]
    assert code(one.card, ["B02"]) == "REMOTE_GONE"
    [one] = scenes("s3://bucket/in/*.SAFE")
    assert code(one.card) == code(one.card, ["B02"]) == "MISSING_BAND"
    del world.files[next(path for path in world.files if path.endswith("MTD_MSIL2A.xml"))]
    [one] = scenes("s3://bucket/in/*.SAFE")
    assert code(one.card) == "BAD_METADATA"


def test_keys_of_strangers_write_nothing_elsewhere(world: Elsewhere, tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    upload(world, safe, "in/a.SAFE")
    card = Card.load(scenes("s3://bucket/in/*.SAFE")[0].card)
    for key in ("GRANULE/../../../x.tif", "/x.tif", "a//b.tif", "MTD_MSIL2A.xml/x.tif", f"{'n' * 300}.tif"):
        files = (*card.files, type(card.files[0])("s3://bucket/in/x.tif", key))
        spoiled = Card(card.address, card.id, files, folder=True).save("spoiled")
        assert code(spoiled, ["B04"]) in ("OUTSIDE", "BAD_METADATA")
    for number in range(3):
        world.put(f"/bucket/in/a.SAFE/GRANULE/{number}.tif", b"")
    assert code(Card(card.address, card.id, (), folder=True).save("empty")) == "BAD_METADATA"


def test_a_product_of_too_many_files_is_refused_alone(
    world: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srcore.storage.remote.folder.MOST_MEMBERS", 20)
    upload(world, make_safe(tmp_path), "in/good.SAFE")
    for number in range(30):
        world.put(f"/bucket/in/trap.SAFE/{number}.txt", b"")
    good, trap = scenes("s3://bucket/in/*.SAFE")
    assert read_header([good.card], bands=["B04"]).bands[0].name == "B04"
    assert code(trap.card) == "BAD_METADATA"


@pytest.mark.slow
def test_a_key_that_is_no_path_is_told_and_stops_its_own_scene_alone(world: Elsewhere, tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    upload(world, safe, "in/good.SAFE")
    upload(world, safe, "in/odd.SAFE")
    world.put("/bucket/in/odd.SAFE/GRANULE//x.jp2", b"")
    good, odd = scenes("s3://bucket/in/*.SAFE")
    assert read_header([good.card], bands=["B04"]).bands[0].name == "B04"
    assert code(odd.card) == "OUTSIDE"
    world.put("/bucket/in//x.tif", b"")
    with pytest.raises(SRError, match="a key below it is no path") as caught:
        scenes("s3://bucket/in/*.tif")
    assert caught.value.code == "OUTSIDE"


def test_two_folders_of_one_name_are_refused(world: Elsewhere, tmp_path: Path) -> None:
    for place in ("a", "b"):
        world.put(f"/bucket/{place}/x.SAFE/MTD_MSIL2A.xml", b"<a/>")
    path = tmp_path / "data_catalog.yaml"
    path.write_text(
        "version: 1\nstore: ./s\ndatasets:\n  far:\n    kind: raster\n    model: nearest-x2\n    source: s3://bucket/*/*.SAFE\n"
    )
    catalog = load_catalog(path)
    with pytest.raises(CatalogError, match=r"put \{scene\} where their names differ"):
        find_scenes(catalog.dataset("far"), catalog.base)


def test_one_folder_by_its_address(world: Elsewhere, tmp_path: Path) -> None:
    upload(world, make_safe(tmp_path), "in/a b.SAFE")
    world.put("/bucket/other/notes.txt", b"")
    assert read_header([card_at("s3://bucket/in/a b.SAFE")], bands=["red"]).bands[0].name == "B04"
    make_landsat(tmp_path / "landsat")
    upload(world, tmp_path / "landsat", "in/LC09_L2SP")
    assert Card.load(card_at("s3://bucket/in/LC09_L2SP")) == Card.load(card_at("s3://bucket/in/LC09_L2SP/"))
    with pytest.raises(SRError) as caught:
        card_at("s3://bucket/other")
    assert caught.value.code == "REMOTE_GONE"
    with pytest.raises(SRError) as caught:
        card_at("s3://bucket/other/")
    assert caught.value.code == "BAD_METADATA"


def test_a_card_of_anything_else_has_the_bytes_that_it_had(world: Elsewhere) -> None:
    world.put("/bucket/a.tif", b"")
    [one] = scenes("s3://bucket/*.tif")
    assert "folder" not in json.loads(one.card.read_bytes())


def test_a_full_disk_is_no_fault_of_the_products_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(SRError) as found:
        _put(tmp_path / "a/B02.tif", None)
    assert found.value.code == "DISK_FULL"
