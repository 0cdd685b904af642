"""A series is published whole: a kill at any point of it, another form before, audit, removal, and what is not ours."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srcore.catalog import Catalog, load_catalog
from srcore.dispatch import Workers
from srcore.errors import PlanError, StoreError
from srcore.layout import DatasetPaths, ProductPaths, Scratch
from srcore.run.audit import audit
from srcore.run.dataset import run_dataset
from srcore.run.missing import published_products
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.ownership import forget_publishing, refuse_strangers, written_files
from srcore.storage.archive.publish import Output, Receipt, is_whole, output_files, publish
from srcore.storage.archive.removal import remove_product
from srcore.storage.disk.files import sha256_file
from tests.faults.points import Points
from tests.storage.dicom.series import PATIENT, write_series

HERE = Workers(0)
CATALOG = """\
version: 1
store: ./store
datasets:
  ct:
    kind: volume
    source: ./incoming/ct/{patient}/{series}/
    model: bicubic-x2
    products: [dicom, report]
"""
BLANK = Receipt("", "sr", (), "m", "d", "c", {}, (), "published", (), "2026-01-01")


def stage(store: Path, word: str, count: int) -> tuple[ProductPaths, Scratch, dict[str, str]]:
    """A product of `count` slices that say `word`, staged."""
    product, scratch = ProductPaths(store, "sr"), Scratch(store / ".sr.srcore" / "key")
    staged = ProductPaths(scratch.staged, "sr")
    staged.data.mkdir(parents=True)
    for place in range(count):
        (staged.data / f"{place}.dcm").write_text(f"{word} {place}")
    staged.report.write_text(word)
    return product, scratch, {name: sha256_file(path) for name, path in output_files(staged).items()}


def state(product: ProductPaths) -> str:
    """What whoever asks for the receipt sees: the word of all its files, nothing, or something wrong."""
    receipt = Receipt.load(product.receipt)
    if receipt is None:
        return "none"
    words = {(product.folder / one.name).read_text().split()[0] for one in receipt.outputs}
    there = {path.name for path in product.data.iterdir()} == {
        one.name[3:] for one in receipt.outputs if one.name.startswith("sr/")
    }
    return words.pop() if len(words) == 1 and there and is_whole(product, receipt, thorough=True) else "wrong"


def killed(store: Path, number: int) -> tuple[bool, int]:
    """Publish `new` in a fork that dies at a point; whether it did, and how many points there were."""
    product, scratch, verified = stage(store, "new", 2)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        points = Points(store, number)
        points.install()
        publish(product, scratch, BLANK, verified)
        os.write(write, str(len(points.seen)).encode())
        os._exit(0)
    os.close(write)
    told = os.read(read, 20)
    os.close(read)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status == -signal.SIGKILL, int(told or 0)


def test_a_kill_at_any_point_leaves_one_series_or_none_and_the_next_run_ends_well(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    publish(*stage(kept, "old", 4)[:2], BLANK, verified_in(kept))
    shutil.rmtree(kept / ".sr.srcore")
    shutil.copytree(kept, tmp_path / "whole")
    _, points = killed(tmp_path / "whole", 0)
    assert points > 25
    seen = set()
    for number in range(1, points + 1):
        store = tmp_path / "store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(kept, store)
        assert killed(store, number) == (True, 0)
        product = ProductPaths(store, "sr")
        seen.add(found := state(product))
        assert found in ("old", "new", "none"), number
        refuse_strangers(product, written_files(product, ["report"]), [], store / ".sr.srcore", overwrite=True)
        shutil.rmtree(store / ".sr.srcore" / "key")
        again, scratch, verified = stage(store, "new", 2)
        publish(again, scratch, BLANK, verified)
        assert state(product) == "new", number
        forget_publishing(scratch.folder.parent)
    assert seen == {"old", "new", "none"}


def verified_in(store: Path) -> dict[str, str]:
    staged = ProductPaths(Scratch(store / ".sr.srcore" / "key").staged, "sr")
    return {name: sha256_file(path) for name, path in output_files(staged).items()}


def test_a_file_that_came_during_the_run_stops_it(tmp_path: Path) -> None:
    product, scratch, verified = stage(tmp_path, "old", 3)
    publish(product, scratch, BLANK, verified)
    (product.data / "mine.txt").write_text("mine")
    shutil.rmtree(scratch.folder)
    with pytest.raises(StoreError, match="came during the run"):
        publish(*stage(tmp_path, "new", 2)[:2], BLANK, verified_in(tmp_path))
    assert (product.data / "mine.txt").read_text() == "mine"
    assert (product.data / "2.dcm").read_text() == "old 2"


@pytest.mark.parametrize("name", ["sr/../../away.txt", "../away.txt", "sr/..", "sr/a/b", "/etc/passwd"])
def test_a_receipt_that_names_what_lies_elsewhere_removes_nothing_there(tmp_path: Path, name: str) -> None:
    store = tmp_path / "products" / "sr"
    product, scratch, verified = stage(store, "old", 2)
    complete = publish(product, scratch, BLANK, verified)
    (tmp_path / "away.txt").write_text("mine")
    (tmp_path / "products" / "away.txt").write_text("mine")
    replace(complete, outputs=(*complete.outputs, Output(name, "", 0))).save(product.receipt)
    shutil.rmtree(scratch.folder)
    publish(*stage(store, "new", 2)[:2], BLANK, verified_in(store))
    assert state(product) == "new"
    assert (tmp_path / "away.txt").exists()
    assert (tmp_path / "products" / "away.txt").exists()


def test_a_folder_that_is_a_link_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "0.dcm").write_text("theirs")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "sr").symlink_to(tmp_path / "away")
    product = ProductPaths(tmp_path / "store", "sr")
    with pytest.raises(PlanError):
        refuse_strangers(product, written_files(product, []), [], tmp_path / "store/.sr.srcore", overwrite=True)
    assert (tmp_path / "away" / "0.dcm").read_text() == "theirs"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    values = (np.random.default_rng(1).random((4, 40, 40)) * 900 + 100).astype(np.int16)
    write_series(tmp_path / "incoming/ct" / PATIENT / "series-one", values)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return load_catalog(tmp_path / "catalog.yaml")


def night(tmp_path: Path) -> list[str]:
    found = run_dataset(tmp_path / "catalog.yaml", "ct", lambda job: run_scene(job, HERE))
    return [one.result for one in found]


def test_in_the_archive_it_is_made_audited_replaced_and_removed(catalog: Catalog, tmp_path: Path) -> None:
    assert night(tmp_path)[0] in ("published", "degraded")
    assert night(tmp_path) == ["up to date"]
    [one] = published_products(catalog, "ct")
    places = DatasetPaths(Path(catalog.store) / "ct")
    assert (one.product.data.name, len(list(one.product.data.iterdir()))) == (f"{one.scene}.dicom", 4)
    assert audit(catalog, "ct").findings == []
    slice_3 = one.product.data / "00003.dcm"
    slice_3.write_bytes(slice_3.read_bytes()[:-1] + b"\1")
    [(scene, found)] = audit(catalog, "ct").findings
    assert (scene, found.code) == (one.scene, "PRODUCT_DAMAGED")
    assert "00003.dcm: other bytes" in str(found)
    assert night(tmp_path)[0] in ("published", "degraded")
    assert audit(catalog, "ct").findings == []
    (tmp_path / "catalog.yaml").write_text(CATALOG.replace("dicom", "nifti"))
    assert night(tmp_path)[0] in ("published", "degraded")
    assert sorted(path.name.removeprefix(one.scene) for path in one.product.folder.iterdir()) == [
        ".nii.gz",
        ".receipt.json",
        ".report.html",
        ".report.json",
    ]
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    assert night(tmp_path)[0] in ("published", "degraded")
    assert not list(one.product.folder.glob("*.nii.gz"))
    assert remove_product(places, one.product, "somebody", "a test")
    assert not one.product.folder.exists()
    assert [state.state for state in scene_states(catalog, "ct")] == ["new"]


def test_a_series_whose_receipt_is_damaged_can_be_removed(catalog: Catalog, tmp_path: Path) -> None:
    night(tmp_path)
    [one] = published_products(catalog, "ct")
    one.product.receipt.write_text("{")
    assert remove_product(DatasetPaths(Path(catalog.store) / "ct"), one.product, "somebody", "a test")
    assert not one.product.folder.exists()


def test_removal_leaves_what_somebody_put_there(catalog: Catalog, tmp_path: Path) -> None:
    night(tmp_path)
    [one] = published_products(catalog, "ct")
    (one.product.data / "mine.txt").write_text("mine")
    assert remove_product(DatasetPaths(Path(catalog.store) / "ct"), one.product, "somebody", "a test")
    assert [path.name for path in one.product.data.iterdir()] == ["mine.txt"]
    assert [path.name for path in one.product.folder.iterdir()] == [f"{one.scene}.dicom"]
