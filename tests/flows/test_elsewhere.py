"""Scenes elsewhere on the command line: one address, a dataset, and what is said where there is nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from srcore.catalog.dataset import Dataset
from srcore.storage.remote.listing import forget_lists
from tests.conftest import ROOT
from tests.elsewhere import Elsewhere, item
from tests.storage.providers.products import make_safe

Srcore = Callable[..., tuple[int, str, str]]
OPTIONS = ("--model", "nearest-x2", "--workers", 0)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(100, 4000, (1, 30, 40)).astype("uint16")


@pytest.fixture
def scene(values: np.ndarray, write_raster: Callable[..., Path]) -> bytes:
    return write_raster(values, "made.tif").read_bytes()


@pytest.mark.parametrize("form", ["web", "signed", "bucket", "item", "asset"])
def test_one_scene_by_its_address(
    srcore: Srcore, world: Elsewhere, tmp_path: Path, scene: bytes, values: np.ndarray, form: str
) -> None:
    plain = world.put("/bucket/scene.tif", scene)
    assets = {"a": {"href": plain, "roles": ["data"]}, "b": {"href": plain, "roles": ["data"]}}
    world.items = [item("one", assets if form == "asset" else {"a": assets["a"]}, world.address)]
    there = f"{world.address}/api/collections/c/items/one"
    source, more = {
        "web": (plain, ()),
        "signed": (f"{plain}?sig=SECRET", ()),
        "bucket": ("s3://bucket/scene.tif", ()),
        "item": (there, ()),
        "asset": (there, ("--asset", "b")),
    }[form]
    out = tmp_path / "out" / "sr.tif"
    out.parent.mkdir()
    code, said, errors = srcore("upscale", source, out, *OPTIONS, *more)
    assert code == 0, errors
    with rasterio.open(out) as product:
        assert (product.read()[:, ::2, ::2] == values).all()
    receipt = json.loads((out.parent / "sr.receipt.json").read_text())
    href = "s3://bucket/scene.tif" if form == "bucket" else plain
    assert [one["href"] for one in receipt["parameters"]["origins"]] == [href]
    told = json.loads((out.parent / "sr.json").read_text())
    assert [one["href"] for one in told["links"] if one["rel"] == "derived_from"] == [href]
    if "item" in there and form in ("item", "asset"):
        assert told["properties"]["datetime"] == "2024-06-01T10:30:21Z"
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("SECRET" in text for text in (said, errors))
    assert not any(b"SECRET" in content for content in kept)


def test_a_cache_that_cannot_be_written_is_told_in_one_line(
    srcore: Srcore, world: Elsewhere, tmp_path: Path, scene: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    code, _, errors = srcore("upscale", world.put("/a.tif", scene), tmp_path / "sr.tif", *OPTIONS)
    assert (code, errors.strip().count("\n")) == (1, 0)
    assert "a.remote cannot be written" in errors


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{at}/gone.tif?sig=SECRET", "/gone.tif: not there; found status 404"),
        ("{at}/text.json", "no STAC document"),
        ("{at}/text.tif", "error: {at}/text.tif: "),
        ("{at}/api/collections/c/items/two", "several assets; found a, b; name `bands`"),
        ("s3://bucket/gone.tif", "s3://bucket/gone.tif: not there"),
        ("ftp://host/scene.tif", "ftp"),
        ("/vsicurl/{at}/bucket/scene.tif", "vsicurl"),
    ],
)
def test_what_is_no_scene_is_told_in_one_line(
    srcore: Srcore, world: Elsewhere, tmp_path: Path, scene: bytes, source: str, told: str
) -> None:
    href = world.put("/bucket/scene.tif", scene)
    world.put("/text.json", b"words")
    world.put("/text.tif", b"words")
    world.items = [item("two", {key: {"href": href, "roles": ["data"]} for key in "ab"}, world.address)]
    code, _, errors = srcore("upscale", source.format(at=world.address), tmp_path / "sr.tif", *OPTIONS)
    assert code == 2
    assert told.format(at=world.address) in errors
    assert errors.strip().count("\n") == 0
    assert "SECRET" not in errors


def test_a_dry_run_and_status_fetch_nothing(srcore: Srcore, world: Elsewhere, tmp_path: Path, scene: bytes) -> None:
    world.put("/bucket/scene.tif", scene)
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  far: {kind: raster, model: nearest-x2, source: 's3://bucket/*.tif'}\n"
        "  near: {kind: raster, model: nearest-x2, source: './made.tif'}\n"
    )
    at = ("--catalog", catalog)
    code, said, errors = srcore("run", "far", *at, "--dry-run")
    assert code == 0, errors
    assert "1 more would be fetched first" in said
    (row,) = json.loads(srcore("run", "far", *at, "--dry-run", "--json")[1])
    assert (row["state"], row["code"]) == ("new", "NOT_FETCHED")
    assert "scene" in srcore("status", "far", *at)[1]
    assert "s3://bucket/*.tif" in srcore("catalog", "list", *at)[1].replace("\n", "")
    assert world.bytes_asked("/bucket/scene.tif") == 0
    assert srcore("run", "far", *at, "--workers", 0)[0] == 0
    asked = world.bytes_asked("/bucket/scene.tif")
    assert "would be made" not in srcore("run", "far", *at, "--dry-run")[1]
    assert "published" in srcore("status", *at)[1]
    assert srcore("run", "far", *at, "--workers", 0)[0] == 0
    assert world.bytes_asked("/bucket/scene.tif") == asked
    world.files.clear()
    forget_lists()
    code, _, errors = srcore("run", "far", *at, "--workers", 0)
    assert (code, "s3://bucket" in errors, errors.strip().count("\n")) == (2, True, 0)
    code, said, errors = srcore("status", *at)
    assert "made" in said, (code, said, errors)


def test_every_source_that_the_page_shows_is_one() -> None:
    page = (ROOT / "docs/sources.md").read_text()
    part = page[page.index("## Scenes elsewhere") :]
    part = part[: part.index("\n## ", 5)]
    blocks = [block.partition("\n```")[0] for block in part.split("```yaml\n")[1:]]
    assert len(blocks) == 4
    for block in blocks:
        for entry in yaml.safe_load(block).values():
            Dataset.model_validate(entry, strict=False)


def test_a_catalog_is_begun_with_a_bucket_and_listed_without_it(
    srcore: Srcore, world: Elsewhere, tmp_path: Path, scene: bytes
) -> None:
    world.put("/bucket/scene.tif", scene)
    at = ("--catalog", tmp_path / "data_catalog.yaml")
    assert srcore("init", tmp_path)[0] == 0
    code, said, errors = srcore("catalog", "add", "far", "s3://bucket/*.tif", *at)
    assert code == 0, errors
    assert "by the first of 1 scenes, scene.tif: a raster of 40 x 30" in said
    world.files.clear()
    forget_lists()
    code, said, errors = srcore("catalog", "list", *at)
    assert (code, "?" in said) == (0, True)
    assert "far: s3://bucket/: not there" in errors


def test_an_item_of_the_web_gets_at_no_file_and_no_volume(
    srcore: Srcore, world: Elsewhere, tmp_path: Path, write_raster: Callable[..., Path], values: np.ndarray
) -> None:
    own = write_raster(values, "own.tif").as_uri()
    for name, href in (("own", own), ("head", f"{world.address}/head.nii.gz")):
        world.items.append(item(name, {"a": {"href": href, "roles": ["data"]}}, world.address))
        code, _, errors = srcore(
            "upscale", f"{world.address}/api/collections/c/items/{name}", tmp_path / "o.tif", *OPTIONS
        )
        assert (code, errors.strip().count("\n")) == (2, 0)
        assert ("lies outside" if name == "own" else "may tell of a patient") in errors


def test_what_is_secret_in_a_source_is_repeated_by_no_refusal(srcore: Srcore, tmp_path: Path) -> None:
    path = tmp_path / "data_catalog.yaml"
    at = ("--catalog", path)
    assert srcore("init", tmp_path)[0] == 0
    for source in ("https://me:SECRET@host/x.tif", "https://host/x.tif?sig=SECRET"):
        code, said, errors = srcore("catalog", "add", "far", source, *at)
        assert (code, errors.strip().count("\n"), "SECRET" in said + errors) == (2, 0, False)
    for source in ("https://host/x.tif?sig=SECRET", "{stac: 'https://host/v1?sig=SECRET'}"):
        path.write_text(f"version: 1\nstore: ./s\ndatasets:\n  far: {{kind: raster, source: {source}}}\n")
        code, said, errors = srcore("catalog", "check", *at)
        assert (code, errors.strip().count("\n"), "SECRET" in said + errors) == (2, 0, False)


@pytest.mark.slow
def test_a_provider_s_folder_in_a_bucket_is_added_and_upscaled_by_its_address(
    srcore: Srcore, world: Elsewhere, tmp_path: Path
) -> None:
    safe = make_safe(tmp_path / "there", {"B02": 10, "B03": 10, "B04": 10, "B11": 20})
    for path in filter(Path.is_file, safe.rglob("*")):
        world.put(f"/bucket/in/{safe.name}/{path.relative_to(safe)}", path.read_bytes())
    at = ("--catalog", tmp_path / "data_catalog.yaml")
    assert srcore("init", tmp_path)[0] == 0
    code, said, errors = srcore("catalog", "add", "far", "s3://bucket/in/*.SAFE", *at)
    assert (code, errors) == (0, ""), said
    code, said, errors = srcore("catalog", "check", *at)
    assert "far: 1 scenes" in said, errors
    out = tmp_path / "sr.tif"
    asked = ("--model", "nearest-x2", "--bands", "red")
    code, said, errors = srcore("upscale", f"s3://bucket/in/{safe.name}", out, *asked)
    assert code == 0, errors
    with rasterio.open(out) as product:
        assert (product.count, product.shape) == (1, (120, 120))
