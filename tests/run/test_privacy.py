"""Who a hidden scene is, and its erasure: no line, no file and no name is left of it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import Catalog, load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError
from srcore.layout import DatasetPaths
from srcore.run.audit import audit
from srcore.run.dataset import run_dataset
from srcore.run.missing import published_products
from srcore.run.privacy import erase, who
from srcore.run.scene import run_scene
from srcore.settings import load_settings
from srcore.storage.archive.removal import remove_product
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


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(tmp_path / "keys" / "private.key"))
    values = (np.random.default_rng(1).random((2, 40, 40)) * 900 + 100).astype(np.int16)
    write_series(tmp_path / "incoming/ct" / PATIENT / "series-one", values)
    write_series(tmp_path / "incoming/ct" / PATIENT / "leaning", values, ImagePositionPatient=lambda i: [0, i, 2.5 * i])
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return load_catalog(tmp_path / "catalog.yaml")


def night(tmp_path: Path) -> dict[str, str]:
    found = run_dataset(tmp_path / "catalog.yaml", "ct", lambda job: run_scene(job, HERE))
    return {"failed" if one.result in ("failed", "quarantined") else "made": one.scene for one in found}


def mentions(word: str, folder: Path) -> list[str]:
    """Files below a folder whose path or content has a word."""
    found = [path for path in folder.rglob("*") if word in str(path.relative_to(folder))]
    found += [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    return sorted({str(path.relative_to(folder)) for path in found})


def test_an_id_is_told_to_whoever_has_the_key_and_nobody_else(catalog: Catalog, tmp_path: Path) -> None:
    ids = night(tmp_path)
    for name, scene in (("series-one", ids["made"]), ("leaning", ids["failed"])):
        [found] = who(catalog, scene)
        assert (found.dataset, found.store) == ("ct", catalog.store)
        assert [Path(path).name for path in found.paths] == [name]
    whose = load_settings().key_file.with_name("private.key.whose")
    assert whose.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in whose.iterdir()} == {0o600}
    shutil.rmtree(tmp_path / "incoming")
    assert [Path(path).name for path in who(None, ids["made"])[0].paths] == ["series-one"]
    with pytest.raises(CatalogError):
        who(catalog, "s-0000000000000000")


def test_a_lost_note_is_found_in_the_sources(catalog: Catalog, tmp_path: Path) -> None:
    scene = night(tmp_path)["made"]
    shutil.rmtree(load_settings().key_file.with_name("private.key.whose"))
    assert [Path(path).name for path in who(catalog, scene)[0].paths] == ["series-one"]


def test_after_erasure_nothing_of_a_scene_is_left(catalog: Catalog, tmp_path: Path) -> None:
    store = Path(catalog.store)
    ids = night(tmp_path)
    audit(catalog, "ct")
    [one] = published_products(catalog, "ct")
    remove_product(DatasetPaths(store / "ct"), one.product, "somebody", "a test")  # leaves a record
    night(tmp_path)
    (store / "ct/.scratch" / ids["made"]).mkdir(parents=True, exist_ok=True)
    assert len(mentions(ids["made"], store)) > 5
    for scene, others in ((ids["made"], ids["failed"]), (ids["failed"], "")):
        [erased] = erase(catalog, scene)
        assert (erased.dataset, erased.left, erased.comes_again) == ("ct", (), True)
        assert mentions(scene, store) == []
        assert mentions(scene, load_settings().key_file.parent) == []
        assert not others or mentions(others, store)
    shutil.rmtree(tmp_path / "incoming")
    with pytest.raises(CatalogError, match="nothing is there"):
        erase(catalog, ids["made"])


def test_work_of_a_run_that_ended_goes_too_and_files_of_somebody_else_stay(catalog: Catalog, tmp_path: Path) -> None:
    def stopped(job: object) -> None:
        run_scene(job, HERE, until="upscale")  # type: ignore[arg-type]

    run_dataset(tmp_path / "catalog.yaml", "ct", stopped)
    store = Path(catalog.store)
    [scratch] = (path for path in (store / "ct/.scratch").iterdir() if any(path.glob("*/plan.json")))
    mine = store / "ct/products" / scratch.name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    [erased] = erase(catalog, scratch.name)
    assert [os.path.samefile(path, mine) for path in erased.left] == [True]
    assert mentions(scratch.name, store) == [f"ct/products/{scratch.name}", f"ct/products/{scratch.name}/mine.txt"]


@pytest.mark.parametrize("scene", ["", ".", "..", "../ct", "s-*", "a/b"])
def test_what_is_no_name_of_a_scene_erases_nothing(catalog: Catalog, tmp_path: Path, scene: str) -> None:
    (tmp_path / "store/ct/.scratch/other").mkdir(parents=True)
    (tmp_path / "store/ct/retired").mkdir()
    (tmp_path / "store/ct/retired/.mine.json").write_text("{}")
    with pytest.raises(CatalogError):
        erase(catalog, scene)
    assert len(list((tmp_path / "store").rglob("*"))) == 5


def test_a_scene_whose_name_another_begins_with_goes_alone(catalog: Catalog, tmp_path: Path) -> None:
    retired = tmp_path / "store/ct/retired"
    retired.mkdir(parents=True)
    for name in ("a.2026-01-01T000000+0000.json", "a.b.2026-01-01T000000+0000.json", "ab.2026.json"):
        (retired / name).write_text("{}")
    erase(catalog, "a")
    assert sorted(path.name for path in retired.iterdir()) == ["a.b.2026-01-01T000000+0000.json", "ab.2026.json"]


def test_a_product_whose_receipt_is_damaged_or_lost_goes_too(catalog: Catalog, tmp_path: Path) -> None:
    scene = night(tmp_path)["made"]
    [one] = published_products(catalog, "ct")
    one.product.receipt.write_text("{")
    erase(catalog, scene)
    assert mentions(scene, Path(catalog.store)) == []
    night(tmp_path)
    one.product.receipt.unlink()
    for path in one.product.data.iterdir():
        path.unlink()
    erase(catalog, scene)
    assert mentions(scene, Path(catalog.store)) == []


def test_the_command_line_says_what_it_would_do_and_does_it(catalog: Catalog, tmp_path: Path) -> None:
    scene, runner = night(tmp_path)["made"], CliRunner()
    options = ["--catalog", str(tmp_path / "catalog.yaml")]
    told = runner.invoke(app, ["privacy", "who", scene, *options])
    assert told.exit_code == 0
    assert "series-one" in re.sub(r"\s", "", told.output)
    assert "would erase" in runner.invoke(app, ["privacy", "erase", scene, *options]).output
    assert mentions(scene, Path(catalog.store))
    done = runner.invoke(app, ["privacy", "erase", scene, "--yes", *options])
    assert (done.exit_code, PATIENT in done.output) == (0, False)
    assert "the next run makes it again" in " ".join(done.output.split())
    assert mentions(scene, Path(catalog.store)) == []
