"""A dataset's items as one GeoParquet file: nothing of them is lost, and it is read back as a source."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from srcore.catalog import Catalog, load_catalog
from srcore.catalog.elsewhere import Stac
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.storage.remote import table
from srcore.storage.remote.search import items_of
from srcore.storage.stac import parquet
from srcore.storage.stac.parquet import export_items
from tests.storage.stac.test_catalog import add

rustac = pytest.importorskip("rustac")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    path = tmp_path / "data_catalog.yaml"
    path.write_text(
        "version: 1\nstore: ./store\ndatasets:\n"
        "  fields:\n    kind: raster\n    source: ./in/*.tif\n    model: srcore-x2\n"
        "  hidden:\n    kind: raster\n    source: ./in/*.tif\n    model: srcore-x2\n    privacy: restricted\n"
        "  table:\n    kind: raster\n    source: {stac: ./items.parquet}\n    model: srcore-x2\n"
    )
    return load_catalog(path)


def place(catalog: Catalog, dataset: str = "fields") -> DatasetPaths:
    return DatasetPaths(Path(catalog.store) / dataset)


def changed(path: Path, **properties: Any) -> None:
    """An item with more properties, and an asset beside it."""
    item = json.loads(path.read_text())
    item["properties"] |= properties
    item["assets"] = {"data": {"href": f"./{path.stem}.tif", "roles": ["data"], "type": "image/tiff"}}
    path.write_text(json.dumps(item))


def read(path: Path, **search: Any) -> dict[str, dict[str, Any]]:
    return {str(item["id"]): dict(item) for item, _ in items_of(Stac(stac=str(path), **search))}


def code(catalog: Catalog, out: Path, dataset: str = "fields", **how: bool) -> str:
    with pytest.raises(SRError) as caught:
        export_items(catalog, dataset, out, **how)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_fields_that_few_items_have_are_kept_whole_whatever_comes_first(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH", 2)
    for number in range(7):
        scene = add(place(catalog), f"s{number}", "2024-06-01T10:30:21Z", west=8.0 + number)
        changed(scene, **{"eo:cloud_cover": number if number < 5 else 0.5})  # an integer first, then none
        if number == 6:
            changed(scene, **{"srcore:flags": ["late"], "srcore:of": {"deep": [1.5]}})
    add(place(catalog), "nowhere", None, west=None)
    out = tmp_path / "öst %20" / "all items.parquet"
    out.parent.mkdir()
    done = export_items(catalog, "fields", out)
    assert (done.items, done.placeless) == (7, ("nowhere",))
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    found = read(out)
    assert sorted(found) == [f"s{number}" for number in range(7)]
    for number in range(7):
        wanted = json.loads((place(catalog).products / f"s{number}" / f"s{number}.json").read_text())
        item = found[f"s{number}"]
        assert item["properties"] == wanted["properties"]
        assert all(rel in {link["rel"] for link in item["links"]} for rel in ("root", "collection", "parent"))
        assert item["geometry"] == wanted["geometry"]
        assert item["bbox"] == wanted["bbox"]
        assert item["collection"] == "fields"
        led = out.parent / item["assets"]["data"]["href"]
        assert os.path.realpath(led) == os.path.realpath(place(catalog).products / f"s{number}/s{number}.tif")
    assert sorted(read(out, bbox=(8.1, 46.1, 9.1, 46.2))) == ["s0", "s1"]
    assert sorted(read(out, query={"eo:cloud_cover": {"gte": 3}})) == ["s3", "s4"]
    assert read(out, datetime="2025") == {}


def test_an_output_is_never_a_source_or_somebody_s_file(catalog: Catalog, tmp_path: Path) -> None:
    add(place(catalog), "a", "2024-06-01T10:30:21Z")
    out = tmp_path / "items.parquet"
    assert code(catalog, tmp_path / "items.json") == "BAD_OUTPUT"
    assert code(catalog, tmp_path / "none/items.parquet") == "BAD_OUTPUT"
    out.write_bytes(b"PAR1 of somebody")
    assert code(catalog, out, overwrite=True) == "BAD_OUTPUT"  # `table` reads it
    assert out.read_bytes() == b"PAR1 of somebody"
    other = tmp_path / "other.parquet"
    other.write_text("notes")
    assert code(catalog, other) == code(catalog, other, overwrite=True) == "OUTPUT_EXISTS"
    (tmp_path / "link.parquet").symlink_to(other)
    assert code(catalog, tmp_path / "link.parquet", overwrite=True) == "LINK"
    assert other.read_text() == "notes"
    export_items(catalog, "fields", tmp_path / "new.parquet")
    assert code(catalog, tmp_path / "new.parquet") == "OUTPUT_EXISTS"
    add(place(catalog), "b", "2024-06-01T10:30:21Z")
    assert export_items(catalog, "fields", tmp_path / "new.parquet", overwrite=True).items == 2


def test_of_two_at_once_the_second_replaces_nothing(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(place(catalog), "a", "2024-06-01T10:30:21Z")
    out = tmp_path / "new.parquet"
    real = parquet._write

    async def slow(*given: Any) -> int:
        out.write_bytes(b"PAR1 of another one")
        return await real(*given)

    monkeypatch.setattr(parquet, "_write", slow)
    assert code(catalog, out) == "OUTPUT_EXISTS"
    assert out.read_bytes() == b"PAR1 of another one"


def test_where_no_hard_links_are_it_is_written_too(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a memory stick."""

    def refused(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    add(place(catalog), "a", "2024-06-01T10:30:21Z")
    out = tmp_path / "new.parquet"
    monkeypatch.setattr(os, "link", refused)
    assert export_items(catalog, "fields", out).items == 1
    assert code(catalog, out) == "OUTPUT_EXISTS"


def test_what_makes_no_table_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "out" / "new.parquet"
    out.parent.mkdir()
    assert code(catalog, out) == "NO_SCENES"
    add(place(catalog, "hidden"), "a", "2024-06-01T10:30:21Z")
    assert code(catalog, out, "hidden") == "RESTRICTED"
    changed(add(place(catalog), "a", "2024-06-01T10:30:21Z"), what=1)
    changed(add(place(catalog), "b", "2024-06-01T10:30:21Z"), what="text")
    assert code(catalog, out) == "BAD_STAC"
    changed(add(place(catalog), "b", "2024-06-01T10:30:21Z"), what=2)
    out.parent.chmod(0o555)
    if os.access(out.parent, os.W_OK):  # root may write anywhere
        out.parent.chmod(0o755)
    else:
        assert code(catalog, out) == "NOT_WRITABLE"
    out.parent.chmod(0o755)
    assert list(out.parent.iterdir()) == []
    assert export_items(catalog, "hidden", out, restricted=True).items == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", b"PAR1" * 5000])
def test_a_file_that_is_no_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(content)
    with pytest.raises(SRError) as caught:
        read(path)
    assert caught.value.code == "BAD_ITEM"
    assert "\n" not in str(caught.value)


def test_a_table_of_any_size_takes_so_much_memory_and_no_more(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(add(place(catalog), "a", "2024-06-01T10:30:21Z"), text="a" * (40 << 20))
    export_items(catalog, "fields", tmp_path / "big.parquet")
    assert (tmp_path / "big.parquet").stat().st_size < 1 << 20
    monkeypatch.setattr(table, "MEMORY_BYTES", 300 << 20)
    with pytest.raises(SRError, match="needs more than 0 GiB of memory") as caught:
        read(tmp_path / "big.parquet")
    assert caught.value.code == "BAD_ITEM"
    monkeypatch.setattr(table, "MEMORY_BYTES", 4 << 30)
    with pytest.raises(SRError, match="an item that is too large"):
        read(tmp_path / "big.parquet")


def test_without_rustac_one_line_names_the_extra(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(place(catalog), "a", "2024-06-01T10:30:21Z")
    export_items(catalog, "fields", tmp_path / "items.parquet")
    monkeypatch.setitem(sys.modules, "rustac", None)
    assert code(catalog, tmp_path / "other.parquet") == "NOT_INSTALLED"
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(SRError, match=r"pip install 'srcore\[parquet\]'"):
        read(tmp_path / "items.parquet")
