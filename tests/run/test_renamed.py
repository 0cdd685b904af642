"""An archive of NIfTI from before volumes were private: no scene is lost, hidden or there twice without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.sources import find_scenes
from srcore.storage.disk.veil import veiled

CATALOG = """\
version: 1
store: ./store
datasets:
  ct:
    kind: volume
    source: ./in/*.nii.gz
    model: bicubic-x2
    products: [nifti, report]
"""
PUBLIC, RESTRICTED = "    privacy: public\n", "    privacy: restricted\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A published dataset with open ids: DOE-one and DOE-two."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    for name in ("DOE-one", "DOE-two"):
        values = (rng.random((24, 20, 4)) * 900 + 100).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1, 3, 1])), tmp_path / "in" / f"{name}.nii.gz")
    say(tmp_path, PUBLIC)
    assert {one.result for one in night(tmp_path)} <= {"published", "degraded"}
    assert products(tmp_path) == {"DOE-one", "DOE-two"}
    return tmp_path


def say(folder: Path, privacy: str) -> None:
    (folder / "catalog.yaml").write_text(CATALOG + privacy)


def night(folder: Path, run: Callable[..., object] = lambda job: run_scene(job, Workers(0))) -> list[Outcome]:
    return run_dataset(folder / "catalog.yaml", "ct", run)  # type: ignore[arg-type]


def products(folder: Path) -> set[str]:
    return {path.parent.name for path in (folder / "store/ct/products").rglob("*.receipt.json")}


def hashes() -> set[str]:
    return {f"s-{veiled('DOE-one')}", f"s-{veiled('DOE-two')}"}


def told(folder: Path, *words: str) -> list[str]:
    """Files of the store with one of the words in their name or content."""
    return [
        str(path)
        for path in folder.joinpath("store").rglob("*")
        if any(word in path.name or (path.is_file() and word.encode() in path.read_bytes()) for word in words)
    ]


def test_without_a_word_on_privacy_the_dataset_stops_in_one_line(archive: Path) -> None:
    say(archive, "")
    with pytest.raises(CatalogError) as stopped:
        night(archive)
    assert stopped.value.code == "PRIVACY_UNSAID"
    line = str(stopped.value)
    assert "\n" not in line
    assert "the store has 2 of ct by the names of files" in line
    assert "`privacy: public`" in line
    assert "`privacy: restricted`" in line
    assert "DOE" not in line
    assert products(archive) == {"DOE-one", "DOE-two"}


def test_the_status_of_the_other_datasets_is_told_all_the_same(archive: Path) -> None:
    say(archive, "  other:\n    kind: volume\n    source: ./none/*.nii\n    model: bicubic-x2\n")
    path = str(archive / "catalog.yaml")
    told = CliRunner().invoke(app, ["status", "--catalog", path, "--json"])
    rows = {row["dataset"]: row["state"] for row in json.loads(told.stdout)["scenes"]}
    assert rows == {"ct": "stopped", "other": "no scenes"}
    assert [one["why"][:14] for one in json.loads(told.stdout)["attention"]] == ["PRIVACY_UNSAID"]
    checked = CliRunner().invoke(app, ["catalog", "check", "--catalog", path])
    assert "PRIVACY_UNSAID" in checked.output
    assert "DOE" not in told.output + checked.output


def test_what_others_put_into_the_store_stops_nothing(archive: Path) -> None:
    say(archive, RESTRICTED)
    night(archive)
    (archive / "store/ct/products/README").write_text("mine")
    (archive / "store/ct/products/notes").mkdir()
    (archive / "store/ct/quarantine").mkdir(exist_ok=True)
    (archive / "store/ct/quarantine/mine.txt").touch()
    say(archive, "")
    assert [one.result for one in night(archive)] == ["up to date"] * 2


def test_public_leaves_all_as_it_is(archive: Path) -> None:
    assert [one.result for one in night(archive)] == ["up to date"] * 2
    assert products(archive) == {"DOE-one", "DOE-two"}


def test_restricted_brings_each_scene_to_its_hash_and_back(archive: Path) -> None:
    say(archive, RESTRICTED)
    states = scene_states(load_catalog(archive / "catalog.yaml"), "ct")
    assert [(one.state, one.reason) for one in states] == [("new", "its id is another one: `privacy` changed")] * 2
    assert {one.result for one in night(archive)} <= {"published", "degraded"}
    assert products(archive) == hashes()
    assert told(archive, "DOE") == []
    assert [one.result for one in night(archive)] == ["up to date"] * 2
    say(archive, PUBLIC)
    night(archive)
    assert products(archive) == {"DOE-one", "DOE-two"}
    assert told(archive, *hashes()) == []


def test_the_old_product_stays_until_the_new_one_is_there(archive: Path) -> None:
    say(archive, RESTRICTED)

    def fail(_job: object) -> None:
        raise RuntimeError("no")

    assert [one.result for one in night(archive, fail)] == ["failed"] * 2
    assert products(archive) == {"DOE-one", "DOE-two"}


def test_what_a_killed_night_left_is_erased_by_the_next(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(archive, RESTRICTED)
    with monkeypatch.context() as broken:
        broken.setattr("srcore.run.dataset.erase_former", lambda job: None)  # killed between the two
        night(archive)
    assert products(archive) == hashes() | {"DOE-one", "DOE-two"}
    assert [one.result for one in night(archive)] == ["up to date"] * 2
    assert products(archive) == hashes()


def test_packed_or_not_a_volume_keeps_its_id(tmp_path: Path) -> None:
    found = []
    for ending in (".nii", ".nii.gz", ".NII.GZ"):
        folder = tmp_path / ending
        (folder / "in").mkdir(parents=True)
        (folder / "in" / f"a{ending}").touch()
        (folder / "catalog.yaml").write_text(CATALOG.replace("*.nii.gz", f"*{ending}"))
        catalog = load_catalog(folder / "catalog.yaml")
        found += find_scenes(catalog.dataset("ct"), catalog.base)
    assert {one.id for one in found} == {f"s-{veiled('a')}"}
    assert all(one.private for one in found)


def test_names_stay_out_of_the_log_and_of_refusals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    for name in ("DOE.nii.gz", "DOE.NII.GZ", "ROE.nii.GZ"):
        (tmp_path / "in" / name).write_bytes(b"nothing")
    say(tmp_path, "")
    outcomes = night(tmp_path)
    assert {one.code for one in outcomes} == {"NOT_SUPPORTED"}
    assert len(outcomes) == 2
    assert "DOE" not in caplog.text + str(outcomes)
    assert "ROE" not in caplog.text + str(outcomes)
    assert told(tmp_path, "DOE", "ROE") == []
    (tmp_path / "in/DOE.nii.gz").unlink()
    (tmp_path / "catalog.yaml").write_text(CATALOG.replace("*.nii.gz", "*"))
    (tmp_path / "in/ROE.nii").write_bytes(b"nothing")
    with pytest.raises(CatalogError, match="two scenes one id; found two files of a private dataset"):
        night(tmp_path)


def test_the_true_hr_is_found_by_the_name_that_nobody_is_told(archive: Path) -> None:
    (archive / "hr").mkdir()
    say(archive, RESTRICTED + "    hr: ./hr\n")
    values = (np.random.default_rng(4).random((48, 40, 4)) * 900 + 100).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.5, 0.5, 3, 1])), archive / "hr/DOE-one.nii.gz")
    night(archive)
    states = scene_states(load_catalog(archive / "catalog.yaml"), "ct")
    assert sorted(one.job.hr is not None for one in states) == [False, True]
    assert told(archive, "DOE") == []
