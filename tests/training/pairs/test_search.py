"""HR that a search gives: by the LR's ground and time, only what is paired is fetched, and what fails is one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from srcore.catalog import load_catalog
from srcore.codes import CODES
from srcore.errors import CatalogError, SourceError, SRError
from srcore.layout import DatasetPaths
from srcore.progress import silent
from srcore.storage.archive.pairs import read_arrays, read_record
from srcore.storage.remote.listing import forget_lists
from srcore.training.data.collect import find_pairs
from srcore.training.pairs.store import check_pairs, collect_pairs
from tests.elsewhere import Elsewhere, item
from tests.training.pairs.drawn import pair
from tests.training.pairs.files import write_pair
from tests.training.pairs.test_store import catalog_of, codes

FAR = 50000


@pytest.fixture(autouse=True)
def quick(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses for a while is not asked for again."""
    monkeypatch.setenv("SRCORE_REMOTE_TRIES", "1")
    forget_lists()


def offered(world: Elsewhere, folder: Path, name: str, east: float, seed: int, **properties: Any) -> dict[str, Any]:
    """A pair on disk, whose HR is on the server, too; gives its item."""
    write_pair(folder, name, pair(seed), east=east)
    path = folder / "hr" / f"{name}.tif"
    href = world.put(f"/{name}.tif", path.read_bytes())
    found = item(f"hr-{name}", {"image": {"href": href, "roles": ["data"]}}, world.address, **properties)
    with rasterio.open(path) as source:
        found["bbox"] = list(transform_bounds(source.crs, "EPSG:4326", *source.bounds))
    path.unlink()
    return found


def two(world: Elsewhere, folder: Path, **keys: Any) -> dict[str, dict[str, Any]]:
    """Datasets: s2, whose HR is a search at the server, for which two items are right."""
    world.items = [offered(world, folder, name, FAR * i, i) for i, name in enumerate(("one", "two"))]
    search = {"stac": f"{world.address}/api", "collections": ["c"], **keys}
    return {"s2": {"source": "./lr/*.tif", "date": "2024-06-01", "pairs": {"hr": search, "within_days": 3}}}


def table_of(folder: Path, datasets: dict[str, dict[str, Any]]) -> dict[str, str]:
    forget_lists()
    return codes(collect_pairs(load_catalog(catalog_of(folder, **datasets)), "s2", silent))


@pytest.mark.parametrize("form", ["of pairs", "a dataset", "a file"])
def test_the_hr_may_be_what_a_search_gives(world: Elsewhere, tmp_path: Path, form: str) -> None:
    datasets = two(world, tmp_path)
    world.items.append({**offered(world, tmp_path, "elsewhere", 40 * FAR, 7), "collection": "c"})
    (tmp_path / "lr/elsewhere.tif").unlink()
    if form == "a file":
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": world.items}))
        datasets["s2"]["pairs"]["hr"] = {"stac": "./items.json"}
    if form == "a dataset":
        datasets["naip"] = {"source": datasets["s2"]["pairs"]["hr"]}
        datasets["s2"]["pairs"]["hr"] = "naip"
    assert table_of(tmp_path, datasets) == {"one": "", "two": ""}
    places = DatasetPaths(tmp_path / "archive/s2")
    assert np.array_equal(read_arrays(places.pairs / "two")["hr"], pair(1).hr)
    record = read_record(places.pairs / "two")
    assert record["files"][1]["path"] == f"{world.address}/api/collections/c/items/hr-two"
    assert record["taken"][1] == "2024-06-01T10:30:21Z"
    assert table_of(tmp_path, datasets) == {"one": "", "two": ""}
    assert [world.bytes_asked(f"/{name}.tif") for name in ("one", "two", "elsewhere")] == [1, 1, 0]


def test_a_search_asks_for_ground_and_time_of_the_lr_unless_it_says_them(world: Elsewhere, tmp_path: Path) -> None:
    datasets = two(world, tmp_path)
    assert table_of(tmp_path, datasets) == {"one": "", "two": ""}
    asked = world.posts[0]
    assert asked["datetime"] == "2024-05-29T00:00:00Z/2024-06-04T23:59:59Z"
    boxes = np.array([one["bbox"] for one in world.items])
    ground = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    assert np.allclose(asked["bbox"], ground, atol=1e-3)
    cards = sorted((tmp_path / "cache").rglob("hr-*"))
    world.items.append(offered(world, tmp_path, "three", 2 * FAR, 2))
    assert table_of(tmp_path, datasets) == {"one": "", "two": "", "three": ""}
    assert world.posts[-1]["bbox"] != asked["bbox"]
    assert [one for one in sorted((tmp_path / "cache").rglob("hr-*")) if "three" not in one.name] == cards
    own = {"bbox": [0.0, 40.0, 20.0, 50.0], "datetime": "2024"}
    datasets["s2"]["pairs"]["hr"] |= own
    world.posts.clear()
    assert table_of(tmp_path, datasets) == {"one": "", "two": "", "three": ""}
    assert (world.posts[0]["bbox"], world.posts[0]["datetime"]) == (
        own["bbox"],
        "2024-01-01T00:00:00Z/2024-12-31T23:59:59Z",
    )


FAULTS = {
    "right": "",
    "refused": "REMOTE_DENIED",
    "gone": "REMOTE_GONE",
    "busy": "REMOTE_FAILED",
    "cut": "REMOTE_FAILED",
    "no-assets": "NO_ASSETS",
    "a-picture": "NO_ASSETS",
    "several": "NO_ASSETS",
    "inward": "NO_ASSETS",
    "other-bytes": "REMOTE_DAMAGED",
    "no-raster": "NOT_SUPPORTED",
    "another-place": "NO_HR",
    "other-days": "NO_HR",
    "lies": "DISJOINT",
}
ANSWERS: dict[str, int | str] = {"refused": 403, "gone": 404, "busy": 503, "cut": "cut"}


def test_what_fails_is_one_line_of_its_scene_and_the_others_go_on(world: Elsewhere, tmp_path: Path) -> None:
    datasets = two(world, tmp_path)
    world.items = [offered(world, tmp_path, name, FAR * i, i) for i, name in enumerate(FAULTS)]
    by = {name: one for name, one in zip(FAULTS, world.items, strict=True)}
    image = {name: one["assets"]["image"] for name, one in by.items()}
    for name in ("one", "two"):
        (tmp_path / f"lr/{name}.tif").unlink()
    for name, answer in ANSWERS.items():
        world.faults[f"/{name}.tif"] = [answer]
    by["no-assets"]["assets"] = {}
    image["a-picture"]["roles"] = ["thumbnail"]
    by["several"]["assets"]["other"] = dict(image["several"])
    image["inward"]["href"] = "file:///etc/passwd"
    image["other-bytes"]["file:checksum"] = "1220" + "0" * 64
    world.put("/no-raster.tif", b"<html>please log in</html>")
    by["another-place"]["bbox"] = [100.0, 0.0, 101.0, 1.0]
    by["other-days"]["properties"]["datetime"] = "2023-06-01T00:00:00Z"
    image["lies"]["href"] = image["right"]["href"]  # the file is that of another ground
    table = check_pairs(load_catalog(catalog_of(tmp_path, **datasets)), "s2", silent)
    assert codes(table) == FAULTS
    assert all(row.code in CODES and row.why and "\n" not in row.why for row in table.rows if row.code)
    for name in FAULTS:  # nothing half-fetched stands in the way of the next try
        if name not in ANSWERS:
            (tmp_path / f"lr/{name}.tif").unlink()
    assert table_of(tmp_path, datasets) == dict.fromkeys(ANSWERS, "")


@pytest.mark.parametrize(("status", "code"), [(403, "REMOTE_DENIED"), (404, "REMOTE_GONE"), (500, "REMOTE_FAILED")])
def test_a_catalog_that_does_not_answer_is_one_line_and_nothing_is_lost(
    world: Elsewhere, tmp_path: Path, status: int, code: str
) -> None:
    datasets = two(world, tmp_path)
    assert table_of(tmp_path, datasets) == {"one": "", "two": ""}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").rglob("*") if path.is_file()}
    world.faults["/api"] = [status]
    with pytest.raises(SRError) as refused:
        table_of(tmp_path, datasets)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive").rglob("*") if path.is_file()}
    assert {path: when for path, when in after.items() if path.name != "lease.json"} == {
        path: when for path, when in before.items() if path.name != "lease.json"
    }


@pytest.mark.nightly
def test_a_collecting_that_is_killed_goes_on_with_what_was_fetched(world: Elsewhere, tmp_path: Path) -> None:
    datasets = two(world, tmp_path)
    path = catalog_of(tmp_path, **datasets)
    world.faults["/two.tif"] = ["slow"]
    command = [sys.executable, "-m", "srcore", "pairs", "collect", "s2", "--catalog", str(path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not world.bytes_asked("/two.tif") and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert world.bytes_asked("/two.tif") == 1
    pairs = DatasetPaths(tmp_path / "archive/s2").pairs
    assert not (pairs / "pairs.json").exists()
    assert {one.name for one in pairs.glob("*") if one.is_dir()} <= {"one"}, "nothing half-written"
    assert table_of(tmp_path, datasets) == {"one": "", "two": ""}
    assert world.bytes_asked("/one.tif") == 1


def test_a_round_is_laid_out_from_a_search(world: Elsewhere, tmp_path: Path) -> None:
    datasets = two(world, tmp_path)
    for i, name in enumerate(("three", "four"), 2):
        world.items.append(offered(world, tmp_path, name, FAR * i, i))
    datasets["s2"] |= {"model": "srcore-x2@champion", "retrain": {}}
    catalog = load_catalog(catalog_of(tmp_path, **datasets))
    found = find_pairs(catalog.dataset("s2"), catalog.base, tmp_path / "split.json", catalog.hr_of("s2"))
    assert sorted(one.scene for one in found.pairs) == ["four", "one", "three", "two"]
    assert all(one.hr_entry is not None for one in found.pairs)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"pairs": {"hr": {"stac": "https://me:secret@host/v1"}}}, "no name or password in an address"),
        ({"pairs": {"hr": {"stac": "https://host/v1", "bbox": [1.0, 2.0]}}}, "bbox.2' in datasets.s2.pairs.hr"),
        ({"pairs": {"hr": {"collections": ["c"]}}}, "missing key 'stac' in datasets.s2.pairs.hr"),
        ({"pairs": {"hr": ["naip"]}}, "hr in datasets.s2.pairs"),
        ({"pairs": {"hr": {"stac": "https://host/v1"}}, "hr": "./hr"}, "either that of `hr` or of `pairs`"),
        (
            {"pairs": {"hr": {"stac": "https://host/v1"}}, "kind": "volume", "source": "./*.nii"},
            "a search is of rasters",
        ),
    ],
)
def test_a_search_that_is_none_is_told_with_its_key(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(CatalogError) as refused:
        load_catalog(catalog_of(tmp_path, s2={"source": "./lr/*.tif", **keys}))
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_nothing_is_asked_where_no_lr_has_a_ground(world: Elsewhere, tmp_path: Path) -> None:
    datasets = two(world, tmp_path)
    for path in (tmp_path / "lr").glob("*.tif"):
        path.unlink()
    with pytest.raises(SourceError) as refused:
        table_of(tmp_path, {**datasets, "s2": {**datasets["s2"], "privacy": "restricted"}})
    assert refused.value.code == "RESTRICTED"
    assert table_of(tmp_path, datasets) == {}
    assert not world.posts
