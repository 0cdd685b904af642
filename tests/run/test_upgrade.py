"""An archive outlives the code that made it: an upgrade alone makes nothing due."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from srcore.catalog import Catalog, load_catalog
from srcore.checks.pair import validate_pair
from srcore.dispatch import Workers
from srcore.errors import CatalogError
from srcore.job import FORMAT
from srcore.limits import with_changes
from srcore.run.dataset import run_dataset
from srcore.run.scene import run_scene
from srcore.run.states import SceneState, scene_states
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.treatment import Treatment

STORE = Path(__file__).with_name("store_of_0_1")


@pytest.fixture
def catalog_path(tmp_path: Path) -> Path:
    shutil.copytree(STORE, tmp_path / "store")
    for receipt in (tmp_path / "store").rglob("*.receipt.json"):
        receipt.write_text(receipt.read_text().replace("@here@", str(tmp_path / "store")))
    path = tmp_path / "store" / "data_catalog.yaml"
    path.write_text(path.read_text() + "    privacy: public\n")  # of its volumes, the last entry: see below
    return path


def all_states(catalog: Catalog) -> list[SceneState]:
    return [state for name in catalog.datasets for state in scene_states(catalog, name)]


def test_nothing_is_due_and_all_of_it_is_outdated(catalog_path: Path) -> None:
    states = all_states(load_catalog(catalog_path))
    assert [state.state for state in states] == ["published"] * 5
    assert all(state.outdated for state in states)


def test_volumes_that_were_open_ask_which_they_shall_be_and_no_other_dataset_does(catalog_path: Path) -> None:
    catalog_path.write_text(catalog_path.read_text().replace("    privacy: public\n", ""))
    catalog = load_catalog(catalog_path)
    with pytest.raises(CatalogError, match="the store has 1 of head by the names of files") as told:
        scene_states(catalog, "head")
    assert told.value.code == "PRIVACY_UNSAID"
    names = [name for name in catalog.datasets if name != "head"]
    assert [state.state for name in names for state in scene_states(catalog, name)] == ["published"] * 4


def test_its_products_open_and_pass(catalog_path: Path) -> None:
    catalog = load_catalog(catalog_path)
    for state in all_states(catalog):
        receipt = Receipt.load(state.job.product.receipt)
        assert receipt is not None
        assert is_whole(state.job.product, receipt, thorough=True)
        assert receipt.format == 1
        if state.job.dataset == "plain":  # the others have bands, filters or slices that a bare pair does not tell
            report = validate_pair(state.job.product.data, state.job.paths[0], with_changes())
            assert report.failed_gates == []


def test_what_should_be_redone_is_asked_for(catalog_path: Path) -> None:
    first = run_dataset(catalog_path, "plain", lambda job: run_scene(job, Workers(0)))
    assert [outcome.result for outcome in first] == ["up to date"] * 2
    asked = run_dataset(catalog_path, "plain", lambda job: run_scene(job, Workers(0)), outdated=True, limit=1)
    assert [outcome.result for outcome in asked] == ["published"]
    states = scene_states(load_catalog(catalog_path), "plain")
    assert [(state.due, state.outdated) for state in states] == [(False, False), (False, True)]
    receipt = Receipt.load(states[0].job.product.receipt)
    assert receipt is not None
    assert (receipt.format, receipt.configuration) == (FORMAT, states[0].job.configuration)


@pytest.mark.parametrize(
    ("key", "value"),
    [("back_projection", "2"), ("sharpen", "0.1"), ("nodata", "7"), ("precision", "float32"), ("bands", "[red]")],
)
def test_a_changed_knob_makes_it_due(catalog_path: Path, key: str, value: str) -> None:
    text = catalog_path.read_text()
    catalog_path.write_text(text.replace("    schedule:", f"    {key}: {value}\n    schedule:"))
    states = scene_states(load_catalog(catalog_path), "plain")
    assert [state.state for state in states] == ["changed"] * 2


def test_a_digest_of_another_format_is_never_taken_for_the_same(catalog_path: Path) -> None:
    job = scene_states(load_catalog(catalog_path), "plain")[0].job
    assert job.is_configuration(job.configuration, FORMAT)
    assert not job.is_configuration(job.configuration, 1)
    assert not job.is_configuration(job.configuration[::-1], FORMAT)


def test_a_field_at_its_default_adds_nothing_and_any_other_does(catalog_path: Path) -> None:
    job = scene_states(load_catalog(catalog_path), "plain")[0].job
    assert Treatment().changed() == {}
    digests = {job.configuration}
    for change in ({"nodata": 0.0}, {"back_projection": 0}, {"denoise": 0.5}, {"sharpen": 0.5}):
        digests.add(replace(job, treatment=Treatment(**change)).configuration)
    assert len(digests) == 5
