"""A DICOM scene in the archive: an id that tells nothing, and no word of its headers, folders and file names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from srcore.catalog import Catalog, load_catalog
from srcore.dispatch import Workers
from srcore.errors import SourceError, StoreError
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import read_once, scene_job, scene_states
from srcore.settings import load_settings
from srcore.storage.archive.sources import find_scenes
from srcore.storage.disk.veil import veiled
from srcore.storage.disk.watch import hidden_sources, identify, same_sources
from srcore.training.pairs.find import find_sources
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
    products: [nifti, report]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    values = (np.random.default_rng(1).random((4, 40, 40)) * 900 + 100).astype(np.int16)
    write_series(tmp_path / "incoming/ct" / PATIENT / "series-one", values)
    write_series(tmp_path / "incoming/ct" / PATIENT / "tilted", values, ImagePositionPatient=lambda i: [0, i, 2.5 * i])
    (tmp_path / "incoming/ct" / PATIENT / "notes.txt").write_text(PATIENT)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return load_catalog(tmp_path / "catalog.yaml")


def traces(*folders: Path) -> list[str]:
    """Files whose name or content tells of the patient, or of where the files lay."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            data = path.read_bytes() if path.is_file() else b""
            told = any(word in data for word in (PATIENT.encode(), b"series-one", b"1.2.3.", b"19010203", b"101112"))
            if told or PATIENT in str(path) or "series-one" in str(path):
                found.append(str(path.relative_to(folder)))
    return found


def test_an_id_is_a_keyed_hash_of_where_the_series_lies(catalog: Catalog) -> None:
    scenes = find_scenes(catalog.dataset("ct"), catalog.base)
    ids = {f"s-{veiled(f'{PATIENT}/series-one')}", f"s-{veiled(f'{PATIENT}/tilted')}"}
    assert {one.id for one in scenes} == ids
    assert all(one.private for one in scenes)


def test_a_night_leaves_no_word_of_the_patient(
    catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = run_dataset(tmp_path / "catalog.yaml", "ct", lambda job: run_scene(job, HERE))
    assert sorted(one.result for one in outcomes) in (
        ["failed", "degraded"],
        ["degraded", "failed"],
        ["failed", "published"],
    )
    assert [one.code for one in outcomes if one.result == "failed"] == ["GANTRY_TILT"]
    assert traces(Path(catalog.store)) == []
    assert PATIENT not in caplog.text + str(outcomes)
    receipts = [json.loads(path.read_text()) for path in Path(catalog.store).rglob("*.receipt.json")]
    assert [len(one["sources"]) for one in receipts] == [4]
    assert all(source["path"].startswith("veiled:") for source in receipts[0]["sources"])
    assert not list(Path(catalog.store).rglob("*.png"))
    states = {one.state for one in scene_states(catalog, "ct")}
    assert states == {"published", "quarantined"}


def test_a_slice_that_came_makes_the_scene_due_again(catalog: Catalog, tmp_path: Path) -> None:
    run_dataset(tmp_path / "catalog.yaml", "ct", lambda job: run_scene(job, HERE))
    folder = tmp_path / "incoming/ct" / PATIENT / "series-one"
    (folder / "new.dcm").write_bytes(sorted(folder.iterdir())[0].read_bytes())
    assert sorted(one.state for one in scene_states(catalog, "ct")) == ["changed", "quarantined"]


def test_nothing_is_learned_from_it_unless_it_is_called_public(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as told:
        find_sources(catalog.dataset("ct"), catalog.base)
    assert told.value.code == "RESTRICTED"
    (tmp_path / "catalog.yaml").write_text(f"{CATALOG}    privacy: public\n")
    public = load_catalog(tmp_path / "catalog.yaml")
    assert {one.id for one in find_scenes(public.dataset("ct"), public.base)} == {"series-one", "tilted"}


def test_by_hand_the_output_keeps_its_name_and_nothing_else_is_told(tmp_path: Path) -> None:
    values = (np.random.default_rng(1).random((4, 40, 40)) * 900 + 100).astype(np.int16)
    folder = write_series(tmp_path / PATIENT / "series-one", values)
    job = direct_job(str(folder), tmp_path / "out/mine.nii.gz", model="bicubic-x2")
    receipt = run_scene(job, HERE)
    assert receipt is not None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "mine.nii.gz",
        "mine.receipt.json",
        "mine.report.html",
        "mine.report.json",
    ]
    assert traces(tmp_path / "out") == []
    page = tmp_path / "out/mine.report.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert "data:image" in page.read_text()
    assert "data:image" not in (tmp_path / "out/mine.report.json").read_text()


@pytest.mark.slow
def test_hidden_makes_no_picture_anywhere(tmp_path: Path) -> None:
    values = (np.random.default_rng(1).random((4, 40, 40)) * 900 + 100).astype(np.int16)
    folder = write_series(tmp_path / PATIENT / "series-one", values)
    job = direct_job(str(folder), tmp_path / "out/mine.nii.gz", model="bicubic-x2", privacy="hidden")
    assert run_scene(job, HERE, until="validate") is None
    assert not list((tmp_path / "out").rglob("pictures.json"))
    assert json.loads(next((tmp_path / "out").rglob("evidence.json")).read_text())["difference"] is None
    assert run_scene(job, HERE) is not None
    assert "data:image" not in (tmp_path / "out/mine.report.html").read_text()


def test_pages_with_pictures_are_due_where_a_dataset_becomes_hidden(tmp_path: Path, catalog: Catalog) -> None:
    once = [read_once(catalog, "ct")]
    for privacy in ("restricted", "hidden"):
        (tmp_path / "catalog.yaml").write_text(f"{CATALOG}    privacy: {privacy}\n")
        once.append(read_once(load_catalog(tmp_path / "catalog.yaml"), "ct"))
    scene = find_scenes(catalog.dataset("ct"), catalog.base)[0]
    unsaid, restricted, hidden = (scene_job(one, scene).configuration for one in once)
    assert unsaid == restricted != hidden


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True])
def test_pictures_of_a_restricted_scene_are_in_its_own_page_alone(
    tmp_path: Path, catalog: Catalog, stopped: bool
) -> None:
    """Also of one that a gate stops; folders and pages are their owner's."""
    gate = "    checks: {values.mean: {gate: -1.0}}\n" if stopped else ""
    (tmp_path / "catalog.yaml").write_text(CATALOG + gate)
    run_dataset(tmp_path / "catalog.yaml", "ct", lambda job: run_scene(job, HERE))
    store = Path(catalog.store)
    files = [path for path in store.rglob("*") if path.is_file() and ".scratch" not in path.parts]
    (page,) = [path for path in files if b"data:image" in path.read_bytes()]
    assert page.name.endswith(".html" if stopped else ".report.html")
    assert page.stat().st_mode & 0o777 == 0o600
    assert (page.parent.name == "quarantine") == stopped
    assert stopped or page.parent.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in store.glob("ct/.scratch/*/*") if path.is_dir())


def test_sources_without_their_paths_are_still_known(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"one")
    hidden = hidden_sources([identify(path)])
    assert same_sources(hidden, [path])
    (tmp_path / "b.dcm").write_bytes(b"one")
    assert not same_sources(hidden, [tmp_path / "b.dcm"])
    path.write_bytes(b"two")
    assert not same_sources(hidden, [path])


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "keys" / "private.key"
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(key))
    assert load_settings().key_file == key
    first = veiled("somebody")
    assert veiled("somebody") == first != veiled("somebody else")
    assert (os.stat(key).st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(tmp_path / "other.key"))
    assert veiled("somebody") != first
    open_key = tmp_path / "open.key"
    open_key.write_bytes(bytes(32))
    open_key.chmod(0o644)
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(open_key))
    with pytest.raises(StoreError, match="others may read it"):
        veiled("somebody")


@pytest.mark.parametrize("padding", [-2000, 0])
def test_padding_stays_padding_in_the_product(tmp_path: Path, padding: int) -> None:
    values = (np.random.default_rng(1).random((4, 40, 40)) * 200 + 400).astype(np.int16)
    values[:, :8, :8] = padding
    folder = write_series(tmp_path / "in", values, PixelPaddingValue=padding)
    receipt = run_scene(direct_job(str(folder), tmp_path / "out/sr.nii.gz", model="bicubic-x2"), HERE)
    assert receipt is not None
    stored = np.asarray(nibabel.load(tmp_path / "out/sr.nii.gz").dataobj.get_unscaled())  # (X, Y, Z)
    assert (stored[:16, :16] == padding).all()
    assert stored[16:].min() >= 300
    hounsfield = nibabel.load(tmp_path / "out/sr.nii.gz").get_fdata()
    assert hounsfield[16:].mean() == pytest.approx(values[:, :, 8:].mean() - 1024, abs=3)
