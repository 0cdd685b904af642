"""Retraining from collected pairs: the store is enough, what is not as it was is refused, and the seal holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srcore.catalog import load_catalog
from srcore.errors import LeaseError, SourceError, StoreError
from srcore.progress import silent
from srcore.storage.archive.pairs import read_arrays, write_pair
from srcore.storage.disk.leases import held
from srcore.storage.whole_images import read_bands
from srcore.training import promote
from srcore.training.pairs.store import collect_pairs
from srcore.training.round import Round, lay_out
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight scenes with their LR, each a place of its own; a retraining takes what was collected."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    return draw_archive(tmp_path, steps=2, count=8, more=", from: pairs")


def of_files(catalog: Path) -> Path:
    catalog.write_text(catalog.read_text().replace(", from: pairs", ""))
    return catalog


def laid_out(catalog: Path) -> Round:
    return lay_out(load_catalog(catalog), "drawn")


def collected(catalog: Path) -> Path:
    collect_pairs(load_catalog(catalog), "drawn", silent)
    return catalog.parent / "archive/drawn/pairs"


def test_the_store_is_enough_and_gives_what_the_files_give(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="run `srcore pairs collect drawn`") as refused:
        laid_out(catalog)
    assert refused.value.code == "TOO_FEW_PAIRS"
    collected(catalog)
    first = of_files(tmp_path / "data_catalog.yaml")
    work = laid_out(first)
    promote.collect(work, silent)
    wanted = {path.relative_to(work.folder): read_bands(path) for path in work.folder.glob("pairs/**/*.tif")}
    sides = {pair.scene: (pair.held, pair.place, pair.season) for pair in work.pairs}
    draw_archive(tmp_path, steps=2, count=8, more=", from: pairs")  # the catalog
    for part in ("lr", "hr"):
        shutil.rmtree(tmp_path / part)
    work = laid_out(catalog)
    assert {pair.scene: (pair.held, pair.place, pair.season) for pair in work.pairs} == sides, "one seal for both"
    assert promote.collect(work, silent) == 8
    found = {path.relative_to(work.folder): read_bands(path) for path in work.folder.glob("pairs/**/*.tif")}
    assert set(found) == set(wanted)
    assert all(np.ma.allequal(found[path], wanted[path]) for path in wanted)
    assert {path.parts[1] for path in found} == {"train", "held"}


def test_a_pair_that_is_gone_damaged_or_another_is_an_error(catalog: Path) -> None:
    folder = collected(catalog)
    arrays = read_arrays(folder / "a_0")
    arrays["hr"] = np.roll(arrays["hr"], 2, -1)  # well-formed, sealed, and shifted by a pixel
    laid_out(catalog)
    origin = {"facts": {}, "files": [], "bands": None}
    write_pair(folder / "a_0", "a_0", arrays, origin)
    with pytest.raises(StoreError, match="collected pair a_0 is not what was collected") as refused:
        laid_out(catalog)
    assert refused.value.code == "PAIR_CHANGED"
    assert refused.value.retryable, "restored, it is right again"
    shutil.rmtree(folder / "a_0")
    with pytest.raises(StoreError, match="gone"):
        laid_out(catalog)
    collected(catalog)  # what is gone is made again
    work = laid_out(catalog)
    [chunk] = [path for path in (folder / "b_1/pair.zarr/lr/c").rglob("*") if path.is_file()]
    chunk.write_bytes(chunk.read_bytes()[:-3] + b"abc")
    with pytest.raises(StoreError) as refused:
        promote.collect(work, silent)
    assert refused.value.code == "PAIR_CHANGED"
    assert "b_1" in str(refused.value)


def test_other_rules_than_those_of_today_are_said(catalog: Path) -> None:
    collected(catalog)
    text = catalog.read_text()
    for changed in ("    pairs: {fit: true}\n    model:", "    nodata: 0\n    model:"):
        catalog.write_text(text.replace("    model:", changed))
        with pytest.raises(SourceError, match="by other rules than those of today") as refused:
            laid_out(catalog)
        assert refused.value.code == "PAIR_CHANGED"
        collected(catalog)
        assert len(laid_out(catalog).pairs) == 8
    catalog.write_text(text.replace("    model:", "    privacy: restricted\n    model:"))
    with pytest.raises(SourceError) as refused:
        laid_out(catalog)
    assert refused.value.code == "RESTRICTED"


def test_a_changed_hr_of_a_held_place_is_an_error_when_it_was_collected(catalog: Path, tmp_path: Path) -> None:
    collected(catalog)
    held_out = next(pair.scene for pair in laid_out(catalog).pairs if pair.held)
    for part in ("lr", "hr"):
        with rasterio.open(tmp_path / part / f"{held_out}.tif", "r+") as file:
            file.write(file.read() + np.uint16(50))
    collected(catalog)
    with pytest.raises(SourceError) as refused:
        laid_out(catalog)
    assert refused.value.code == "HELD_CHANGED"


def test_nobody_learns_while_somebody_collects(catalog: Path) -> None:
    folder = collected(catalog)
    work = laid_out(catalog)
    with held(folder / "lease.json"):
        with pytest.raises(LeaseError):
            laid_out(catalog)
        with pytest.raises(LeaseError):
            promote.collect(work, silent)
