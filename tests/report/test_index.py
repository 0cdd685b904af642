"""The page of a dataset: what the receipts and the quarantine say, and nothing that breaks it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from srcore.dispatch import Workers
from srcore.layout import DatasetPaths
from srcore.limits import LIMITS, Limit
from srcore.report.index import (
    REMEMBERED,
    ROWS,
    Held,
    IndexFacts,
    Product,
    index_page,
    is_stale,
    page_name,
    read_index,
    write_index,
)
from srcore.report.store import write_store_page
from srcore.report.totals import find_totals, night_of
from srcore.run.dataset import run_dataset
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
from tests.report.conftest import HOSTILE, check, check_page, hostile


def products(receipt: Receipt, count: int) -> list[Product]:
    checks = [*receipt.checks, check("reference.gain", "WARN", value=1.5, limit=0.0)]
    return [
        Product.of(
            replace(receipt, scene=f"T{i}", created=f"2026-01-{i + 1:02d}T00:00:00+00:00", checks=checks),
            f"products/T{i}",
        )
        for i in reversed(range(count))
    ]


def test_it_is_a_page_with_relative_addresses_only(receipt: Receipt) -> None:
    facts = IndexFacts("fields", products(receipt, 3), [Held("bad", "BAD_SOURCE", "torn", "2026-01-01T00:00:00+00:00")])
    text = index_page(facts)
    page = check_page(text)
    there = {f"products/T{i}/T32{end}" for i in range(3) for end in (".png", ".report.html", ".tif")}
    assert page.addresses == there | {f"products/T{i}/T{i}.receipt.json" for i in range(3)} | {"../index.html"}
    for told in ("fields", "BAD_SOURCE", "torn", "+1.50 dB", "3 min 04 s", "2026-01-03 00:00 UTC", "0.58 x"):
        assert told in page.words, told
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "script-src 'sha256-" in policy
    assert index_page(facts) == text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_any_number_of_products(receipt: Receipt, count: int) -> None:
    page = check_page(index_page(IndexFacts("fields", products(receipt, count), [])))
    assert sum(tag == "svg" for tag, _ in page.tags) == (3 if count > 1 else 0)


def test_a_large_archive_has_pages_what_failed_first(receipt: Receipt) -> None:
    held = [Held(f"bad{i}", "BAD_SOURCE", "torn", "2026-01-01T00:00:00+00:00") for i in range(ROWS + 3)]
    [one] = products(receipt, 1)
    made = [replace(one, scene=f"T{i:04d}", folder=f"products/T{i:04d}") for i in reversed(range(2 * ROWS))]
    facts = IndexFacts("fields", made, held)
    texts = [index_page(facts, page) for page in range(1, facts.pages + 1)]
    pages = [check_page(text) for text in texts]
    assert len(pages) == 4
    told = [{attrs["href"] for tag, attrs in page.tags if attrs.get("href", "").endswith(".tif")} for page in pages]
    assert [len(one) for one in told] == [0, ROWS - 3, ROWS, 3]
    assert len(set.union(*told)) == 2 * ROWS
    assert pages[0].words.count("BAD_SOURCE") == ROWS
    assert pages[1].words.count("BAD_SOURCE") == 3
    assert min(told[1]) > max(told[2]) > max(told[3])  # the newest first
    for number, page in enumerate(pages, 1):
        others = {page_name(other) for other in range(1, 5) if other != number}
        assert others <= page.addresses
        assert page_name(number) not in page.addresses
    assert [sum(tag == "svg" for tag, _ in page.tags) > 0 for page in pages] == [True, False, False, False]
    small = check_page(index_page(replace(facts, products=made[:REMEMBERED], held=[])))
    assert [attrs for tag, attrs in small.tags if tag == "nav"] == []
    assert len(texts[0]) < 1.2e6


def test_pages_that_are_no_more_go(receipt: Receipt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = DatasetPaths(tmp_path / "fields")
    for number in range(5):
        scene = f"T{number}"
        path = places.product(scene, ".tif").receipt
        path.parent.mkdir(parents=True)
        replace(receipt, scene=scene).save(path)
    monkeypatch.setattr("srcore.report.index.ROWS", 2)
    write_index(places)
    (places.root / "index-old.html").touch()
    assert sorted(path.name for path in places.root.glob("index*")) == [
        "index-2.html",
        "index-3.html",
        "index-old.html",
        "index.html",
    ]
    assert not is_stale(places)
    shutil.rmtree(places.product("T4", ".tif").folder)
    shutil.rmtree(places.product("T3", ".tif").folder)
    write_index(places)
    assert [path.name for path in places.root.glob("index-?.html")] == ["index-2.html"]


def test_hostile_names_stay_text(receipt: Receipt) -> None:
    made = replace(hostile(receipt), created=receipt.created)
    text = index_page(IndexFacts(HOSTILE, [Product.of(made, "products/x")], [Held(*[HOSTILE] * 4)]))
    page = check_page(text)
    assert HOSTILE in page.words
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<script>alert" not in text


@pytest.fixture
def archive(tmp_path: Path, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Path:
    write_raster(landscape(seed=1), "in/a.tif")
    (tmp_path / "in/b.tif").write_text("not a raster")
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  fields:\n    kind: raster\n    source: ./in/*.tif\n"
        "    model: bicubic-x2\n"
    )
    return catalog


def test_a_run_leaves_the_page_as_things_stand(archive: Path) -> None:
    places = DatasetPaths(archive.parent / "store/fields")
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)))
    page = check_page(places.index.read_text())
    assert "NOT_SUPPORTED" in page.words
    for address in page.addresses:
        drawn = address.startswith("map.html")  # by the service alone
        assert drawn or (places.root / address).is_file(), address
    made = places.index.stat().st_mtime_ns
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)))
    assert places.index.stat().st_mtime_ns == made  # nothing was due
    assert [path.name for path in places.root.iterdir() if path.name.endswith(".part")] == []


def test_a_product_that_a_gate_stopped_keeps_its_page(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "consistency.ratio", Limit(gate=-1.0))
    places = DatasetPaths(archive.parent / "store/fields")
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)), scene="a")
    page = check_page(places.index.read_text())
    assert page.addresses == {"quarantine/a.html", "../index.html"}
    assert "stopped by this gate" in check_page((places.root / "quarantine/a.html").read_text()).words
    monkeypatch.undo()
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)), scene="a", force=True)
    assert not (places.root / "quarantine/a.html").exists()
    assert "quarantine/a.html" not in check_page(places.index.read_text()).addresses


def test_the_command_makes_it_again(archive: Path) -> None:
    result = CliRunner().invoke(app, ["report", "fields", "--catalog", str(archive)])
    assert result.exit_code == 0, result.output
    assert check_page(Path(result.output.strip()).read_text()).words.count("Nothing is published yet.") == 1
    assert CliRunner().invoke(app, ["report", "none", "--catalog", str(archive)]).exit_code != 0


def test_what_to_do_stands_beside_what_failed_and_no_folder_does(receipt: Receipt) -> None:
    held = Held("bad", "TRUNCATED", "/data/private/in/bad.tif: cut short; see 12 DN/s", "2026-01-01T00:00:00+00:00")
    text = index_page(IndexFacts("fields", products(receipt, 1), [held]))
    words = check_page(text).words
    assert "Fetch the file again." in words
    assert "srcore quarantine retry fields bad" in words
    assert "bad.tif: cut short; see 12 DN/s" in words
    assert "/data" not in text


def test_the_first_of_several_pages_knows_the_scenes_of_all(receipt: Receipt) -> None:
    [one] = products(receipt, 1)
    made = [replace(one, scene=f"T{i:04d}") for i in reversed(range(ROWS + 2))]
    facts = IndexFacts("fields", made, [])
    names = re.search(r'<script type="application/json" id="names">(.*?)</script>', index_page(facts))
    assert names is not None
    assert [len(page) for page in json.loads(names[1])] == [ROWS, 2]
    assert 'id="names"' not in index_page(facts, 2)


def test_the_store_has_a_page_of_all_datasets_what_failed_first(receipt: Receipt, tmp_path: Path) -> None:
    for name, scenes in (("calm", ["a"]), ("torn", ["b", "c"])):
        places = DatasetPaths(tmp_path / name)
        for scene in scenes:
            path = places.product(scene, ".tif").receipt
            path.parent.mkdir(parents=True)
            replace(receipt, scene=scene).save(path)
        if name == "torn":
            path.write_text("{torn")
        write_index(places)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/index.html").touch()
    found, untold = find_totals(tmp_path)
    assert [(one.name, one.products, one.held) for one in found] == [("torn", 1, 1), ("calm", 1, 0)]
    assert found[0].codes == {"BAD_STORE": 1}
    assert (found[1].night_published, found[1].night_failed, untold) == (1, 0, ["old"])
    write_store_page(tmp_path)
    page = check_page((tmp_path / "index.html").read_text())
    assert page.addresses == {"torn/index.html", "calm/index.html", "old/index.html"}
    assert page.words.index("torn") < page.words.index("calm")
    assert "1 of 2 datasets wants a look" in page.words
    assert "BAD_STORE 1" in page.words


def test_a_night_is_a_day_before_the_newest() -> None:
    made = ["2026-01-02T03:00:00+00:00", "2026-01-02T01:00:00+00:00", "2025-12-31T03:00:00+00:00"]
    assert night_of(made, ["2026-01-01T23:00:00+00:00", "", "torn"]) == (2, 1)
    assert night_of([], []) == (0, 0)


def test_a_torn_receipt_is_told(receipt: Receipt, tmp_path: Path) -> None:
    places = DatasetPaths(tmp_path / "fields")
    for scene, text in (("x", "{torn"), ("y", "[]"), ("z", json.dumps({"scene": "z"}))):
        path = places.product(scene, ".tif").receipt
        path.parent.mkdir(parents=True)
        path.write_text(text)
    receipt.save(places.product("good", ".tif").folder.parent / "good.receipt.json")  # not a product's place
    facts = read_index(places)
    assert [one.scene for one in facts.held] == ["x", "y", "z"]
    assert facts.products == []
    check_page(write_index(places).read_text())


def test_a_page_of_somebody_else_in_the_store_stays_as_it_is(tmp_path: Path) -> None:
    assert write_store_page(tmp_path) == tmp_path / "index.html"
    assert write_store_page(tmp_path) == tmp_path / "index.html"  # our own is made again
    (tmp_path / "index.html").write_text("<p>My pages</p>")
    assert write_store_page(tmp_path) is None
    assert (tmp_path / "index.html").read_text() == "<p>My pages</p>"
