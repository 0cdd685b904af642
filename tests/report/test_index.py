"""The page of a dataset: what the receipts and the quarantine say, and nothing that breaks it."""

from __future__ import annotations

import json
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
    assert page.addresses == {f"products/T{i}/T32{end}" for i in range(3) for end in (".png", ".report.html", ".tif")}
    for told in ("fields", "BAD_SOURCE", "torn", "+1.50 dB", "3 min 04 s", "2026-01-03 00:00 UTC", "0.58 x"):
        assert told in page.words, told
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    assert "script-src" not in text
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
    assert not [tag for tag, _ in page.tags if tag == "script"]


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
        assert (places.root / address).is_file(), address
    made = places.index.stat().st_mtime_ns
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)))
    assert places.index.stat().st_mtime_ns == made  # nothing was due
    assert [path.name for path in places.root.iterdir() if path.name.endswith(".part")] == []


def test_a_product_that_a_gate_stopped_keeps_its_page(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "consistency.ratio", Limit(gate=-1.0))
    places = DatasetPaths(archive.parent / "store/fields")
    run_dataset(archive, "fields", lambda job: run_scene(job, Workers(0)), scene="a")
    page = check_page(places.index.read_text())
    assert page.addresses == {"quarantine/a.html"}
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
