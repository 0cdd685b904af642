"""Of volumes of a catalog nothing that is shown, or that Prefect keeps, names a file or a folder, nor does an error."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.nightly import _night_of
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.progress import silent
from srcore.run.dataset import run_dataset
from srcore.run.privacy import erase
from srcore.run.scene import run_scene
from srcore.run.states import look
from srcore.storage.archive import erasure
from srcore.storage.archive.sources import find_scenes
from srcore.storage.disk.veil import without_paths

HERE = Workers(0)
WORDS = ("QXDOE", "QXPATIENT")
CATALOG = """\
version: 1
store: ./store
datasets:
  ct:
    kind: volume
    source: ./in/{patient}/*.nii.gz
    model: bicubic-x2
    products: [nifti, report]
"""
PUBLIC, RESTRICTED = "    privacy: public\n", "    privacy: restricted\n"


def volume(path: Path, size: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (np.random.default_rng(3).random((size, 20, 4)) * 900 + 100).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1, 3, 1])), path)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A volume, one that is cut, one without a header and one that leads out of the source; its HR does not fit."""
    folder = tmp_path / "in" / "QXPATIENT 'one'"
    volume(folder / "QXDOE whole.nii.gz")
    cut = volume(folder / "QXDOE  cut.nii.gz")
    cut.write_bytes(cut.read_bytes()[:-200])
    (folder / "QXDOE none.nii.gz").write_bytes(b"QX")
    (folder / "QXDOE link.nii.gz").symlink_to(volume(tmp_path / "QXDOE elsewhere" / "QXDOE.nii.gz"))
    volume(tmp_path / "hr" / "QXDOE whole.nii.gz")
    (tmp_path / "catalog.yaml").write_text(CATALOG + "    hr: ./hr\n")
    return tmp_path / "catalog.yaml"


def say(catalog: Path, privacy: str) -> None:
    catalog.write_text(CATALOG + privacy)


def told(text: str) -> list[str]:
    return [word for word in WORDS if word in text]


def night(catalog: Path, call: Callable[..., Any] = lambda _name, stage: stage(silent)) -> list[str]:
    return [one.code or one.result for one in run_dataset(catalog, "ct", lambda job: run_scene(job, HERE, call))]


def everything(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))
        if path.is_file():
            yield path.read_bytes().decode("latin1")


def test_what_a_stage_raises_names_nothing(catalog: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Prefect calls each stage as a task, and keeps the words of what it raises."""
    raised: list[Exception] = []
    caplog.set_level(0, "srcore")

    def call(_name: str, stage: Callable[..., Any]) -> Any:
        try:
            return stage(silent)
        except Exception as error:
            raised.append(error)
            raise

    assert sorted(night(catalog, call)) == ["BAD_HR", "NOT_SUPPORTED", "OUTSIDE", "TRUNCATED"]
    assert len(raised) == 4
    for error in raised:
        assert isinstance(error, SRError)
        assert told("".join(traceback.format_exception(error)) + repr(error.__reduce__())) == []
    assert any("veiled:" in str(error) for error in raised)
    assert told(caplog.text) == []
    assert told("".join(everything(catalog.parent / "store"))) == []


def test_an_error_that_nobody_expected_names_nothing_either(catalog: Path) -> None:
    scene = next(one.job for one in look(load_catalog(catalog), "ct").states if "whole" in one.job.paths[0].name)

    def call(_name: str, stage: Callable[..., Any]) -> Any:
        def broken(_progress: object) -> None:
            raise KeyError(str(scene.paths[0]))

        stage.keywords.clear() if hasattr(stage, "keywords") else None
        return stage.func(stage.args[0], broken, silent)  # type: ignore[attr-defined]

    with pytest.raises(SRError) as raised:
        run_scene(scene, HERE, call)
    assert raised.value.code == "UNEXPECTED"
    assert told("".join(traceback.format_exception(raised.value))) == []


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_dry_run_names_nothing(catalog: Path, more: list[str]) -> None:
    done = CliRunner().invoke(app, ["run", "ct", "--dry-run", "--catalog", str(catalog), *more])
    assert done.exit_code == 0
    assert "TRUNCATED" in done.output
    assert told(done.output) == []
    ids = [one.id for one in find_scenes(load_catalog(catalog).dataset("ct"), catalog.parent)]
    window = ["--window", "0,0,8,8", "--to", str(catalog.parent / "part")]
    for scene in ids:
        done = CliRunner().invoke(app, ["run", "ct", "--scene", scene, *window, "--catalog", str(catalog), *more])
        assert told(done.output + str(done.exception)) == []


@pytest.mark.parametrize("name", ["QXDOE  cut", "QXDOE none", "QXDOE whole", "QXDOE link"])
def test_adding_a_dataset_names_no_volume(catalog: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (folder,) = (catalog.parent / "in").iterdir()
    for path in folder.iterdir():
        if path.name != f"{name}.nii.gz":
            path.unlink()
    (folder / f"{name}.nii.gz").rename(folder / f"{name}.NII.GZ")
    pattern = str(catalog.parent / "in/*/*.nii.gz")
    done = CliRunner().invoke(app, ["catalog", "add", "new", pattern, "--catalog", str(catalog)])
    assert (done.exit_code == 0) is (name == "QXDOE whole")
    assert told(f"{done.output}{done.exception}{caplog.text}{catalog.read_text()}") == []


def test_a_night_that_cannot_look_names_nothing(catalog: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder,) = (catalog.parent / "in").iterdir()

    def broken(*_: object) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    [one] = _night_of(load_catalog(catalog), "ct", broken, ())
    assert (one.code, one.message) == ("UNEXPECTED", "PermissionError")
    assert "test_nameless.py" in caplog.text
    assert told(caplog.text) == []


@pytest.mark.parametrize("text", ["in '{}'", "{}.part is there", "see {}.", "{!r}", "a/{}", "({})"])
@pytest.mark.parametrize("name", ["DOE J.nii.gz", "DOE 'J'.nii.gz", "D\\E.nii", "DOE\n1.nii", "Ö Ä.nii"])
def test_a_name_is_found_however_it_is_written(text: str, name: str) -> None:
    hidden = without_paths(text.format(name), [Path("/in/Q", name)])
    assert name not in hidden
    assert repr(name)[1:-1] not in hidden
    assert "veiled:" in hidden


def archive(tmp_path: Path) -> Path:
    """Two scenes, published by name."""
    for name in ("QXDOE-1", "QXDOE-2"):
        volume(tmp_path / "in/QXPATIENT" / f"{name}.nii.gz")
    path = tmp_path / "catalog.yaml"
    say(path, PUBLIC)
    assert set(night(path)) <= {"published", "degraded"}
    return path


@pytest.mark.parametrize("step", ["_erase_product", "_erase_records", "_erase_lines", "remove_pair", "remove_ours"])
def test_an_erasure_that_is_killed_anywhere_is_ended_by_the_next_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = archive(tmp_path)
    store = tmp_path / "store/ct"
    say(path, RESTRICTED)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(erasure, step, killed)
        if step == "remove_ours":  # only called where there is work: killed behind the receipt instead
            broken.setattr(erasure, "_erase_product", lambda product, _: (product.receipt.unlink(), killed()))
        with pytest.raises(KeyboardInterrupt):
            night(path)
    assert set(night(path)) <= {"published", "degraded", "up to date"}
    assert set(night(path)) == {"up to date"}
    assert told("".join(everything(store))) == []


def test_who_is_erased_is_erased_under_both_ids(tmp_path: Path) -> None:
    path = archive(tmp_path)
    say(path, RESTRICTED)
    loaded = load_catalog(path)
    first, second = sorted(find_scenes(loaded.dataset("ct"), tmp_path), key=lambda one: one.name)
    erase(loaded, first.id)
    left = {one.name for one in (tmp_path / "store/ct/products").iterdir()}
    assert left == {second.name}


def test_scenes_of_one_name_take_nothing_from_each_other(tmp_path: Path) -> None:
    volume(tmp_path / "in/QXPATIENT/QXDOE.nii.gz")
    volume(tmp_path / "hr/QXDOE.nii.gz", 48)
    path = tmp_path / "catalog.yaml"
    say(path, PUBLIC)
    night(path)
    volume(tmp_path / "in/QXPATIENT2/QXDOE.nii.gz")
    say(path, RESTRICTED + "    hr: ./hr\n")
    states = list(look(load_catalog(path), "ct").states)
    assert [(one.job.hr, one.job.former) for one in states] == [(None, "")] * 2


def test_back_to_public_no_product_is_called_gone(tmp_path: Path) -> None:
    path = archive(tmp_path)
    say(path, RESTRICTED)
    night(path)
    say(path, PUBLIC)
    done = CliRunner().invoke(app, ["status", "--catalog", str(path), "--json"])
    assert [row["state"] for row in json.loads(done.stdout)["scenes"]] == ["new", "new"]
