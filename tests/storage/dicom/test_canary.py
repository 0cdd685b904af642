"""No word of a patient is anywhere: after a run, a failed run, a killed run, by hand, and under Prefect."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.progress import Progress
from srcore.run.audit import audit
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.missing import published_products
from srcore.run.privacy import erase
from srcore.run.scene import run_scene
from srcore.settings import load_settings
from srcore.storage.disk.files import write_atomic
from tests.conftest import ROOT
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text
from tests.storage.dicom.canary import TRACES, WORD, pixels, traces, write_canaries, zipped

HERE = Workers(0)
ENTRY = """\
  {name}:
    kind: volume
    source: ./incoming/{{patient}}/{{series}}{end}
    model: bicubic-x2
    products: [{form}, report]
"""


def archive(folder: Path) -> Path:
    """A catalog of the series as folders, to DICOM, and as zips, to NIfTI; a tilted one fails in both."""
    incoming = folder / "incoming" / WORD
    good = write_canaries(incoming / f"{WORD} series", pixels())
    tilted = write_canaries(incoming / f"{WORD} leaning", pixels(), ImagePositionPatient=lambda i: [0, i, 2.5 * i])
    for one in (good, tilted):
        zipped(one, incoming / f"{one.name}.zip")
    catalog = folder / "catalog.yaml"
    entries = ENTRY.format(name="ct", end="/", form="dicom") + ENTRY.format(name="packed", end=".zip", form="nifti")
    write_atomic(catalog, f"version: 1\nstore: ./store\ndatasets:\n{entries}".encode())
    return catalog


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("made")).parent


@pytest.fixture
def catalog(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "catalog.yaml"


def run_all(catalog: Path, run: Callable[[Any], Any] = lambda job: run_scene(job, HERE)) -> list[str]:
    return [one.code or "published" for name in ("ct", "packed") for one in run_dataset(catalog, name, run)]


def test_the_canary_sings_where_it_is_asked(catalog: Path) -> None:
    data = (catalog.parent / "incoming" / WORD / f"{WORD} series" / f"{WORD}_00.dcm").read_bytes()
    assert data.count(WORD.encode()) > 3000
    assert all(word.encode() in data for word in TRACES)
    assert len(traces([catalog.parent / "incoming"])) > 10


def test_after_a_night_and_an_audit_it_is_nowhere(
    catalog: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    caplog.set_level(0)
    store = catalog.parent / "store"
    assert sorted(run_all(catalog)) == ["GANTRY_TILT", "GANTRY_TILT", "published", "published"]
    audit(load_catalog(catalog), "ct", sources=True)
    assert len(list(store.rglob("*.dcm"))) == 2
    assert len(list(store.rglob("*.nii.gz"))) == 1
    assert traces([store]) == []
    told = "".join([caplog.text, *capfd.readouterr(), *(str(one.message) for one in recwarn)])
    assert [word for word in TRACES if word in told] == []
    # what is published names no source, and none of the patient's is told of a product that is listed
    told = str(published_products(load_catalog(catalog), "ct"))
    assert [word for word in TRACES if word in told] == []


def test_of_files_that_nobody_can_open_no_name_is_told_and_after_an_erasure_no_note(
    catalog: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A zip with a password, one that is cut, and a stranger: their names are in messages by hand, and never here."""
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(tmp_path / "key" / "private.key"))  # what others noted stays
    caplog.set_level(0)
    incoming, store, keys = (
        catalog.parent / "incoming" / WORD,
        catalog.parent / "store",
        load_settings().key_file.parent,
    )
    packed = bytearray((incoming / f"{WORD} series.zip").read_bytes())
    (incoming / f"{WORD} cut.zip").write_bytes(packed[:2000])
    (incoming / f"{WORD} stranger.zip").write_bytes(WORD.encode())
    at = packed.find(b"PK\x01\x02")
    while at >= 0:
        packed[at + 8] |= 1  # each entry says that it is encrypted
        at = packed.find(b"PK\x01\x02", at + 4)
    (incoming / f"{WORD} secret.zip").write_bytes(packed)
    made = run_dataset(catalog, "packed", lambda job: run_scene(job, HERE))
    assert sorted(one.code or "published" for one in made) == ["GANTRY_TILT", *["NOT_SUPPORTED"] * 3, "published"]
    told = "".join([caplog.text, *capfd.readouterr(), *map(str, made)])
    assert [word for word in TRACES if word in told] == []
    assert traces([store]) == []
    assert traces([keys]) != []  # what `privacy who` tells, for the owner of the key alone
    for one in made:
        erase(load_catalog(catalog), one.scene)
    assert traces([store, keys]) == []


NIGHTLY = [pytest.param(stage, marks=pytest.mark.nightly) for stage in ("ingest", "upscale", "export", "publish")]


@pytest.mark.parametrize("stage", ["validate", *NIGHTLY])
def test_of_a_run_that_is_killed_nothing_tells(catalog: Path, stage: str) -> None:
    """Killed as a stage begins, with the files of those before on the disk."""

    def call(name: str, work: Callable[[Progress], Any]) -> Any:
        if name == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        done = work(lambda _done, _of: None)
        if name == "validate" and stage == "publish":
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    if (child := os.fork()) == 0:
        torch.set_num_threads(1)  # the threads of this process are not in its fork, which would wait for them
        run_dataset(catalog, "ct", lambda job: run_scene(job, HERE, call))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = catalog.parent / "store"
    assert list(store.rglob("plan.json"))
    assert traces([store]) == []
    for folder in store.glob("ct/.scratch/*/*"):
        assert folder.stat().st_mode & 0o077 == 0 or not folder.is_dir()
    again = [one.code or "published" for one in run_dataset(catalog, "ct", lambda job: run_scene(job, HERE))]
    assert sorted(again) == ["GANTRY_TILT", "published"]
    assert traces([store]) == []


@pytest.mark.parametrize("out", ["sr", "sr.nii.gz"])
def test_by_hand_the_names_stay_in_the_terminal(catalog: Path, tmp_path: Path, out: str) -> None:
    series = tmp_path / "incoming" / WORD / f"{WORD} series"
    job = direct_job(str(series), tmp_path / "out" / out, model="bicubic-x2")
    assert run_scene(job, HERE, until="export") is None
    assert traces([tmp_path / "out"]) == []
    assert run_scene(job, HERE) is not None
    assert traces([tmp_path / "out"]) == []


def test_words_of_a_nifti_are_in_none_of_its_product(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(pixels(4).T, np.diag([1.0, 1.0, 3.0, 1.0]))
    for name in ("descrip", "intent_name", "aux_file", "db_name"):
        image.header[name] = WORD
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", WORD.encode()))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("dicom", WORD.encode()))
    nibabel.save(image, tmp_path / "scan.nii.gz")
    assert traces([tmp_path]) == [f"scan.nii.gz: {WORD}"]
    assert run_scene(direct_job(str(tmp_path / "scan.nii.gz"), tmp_path / "out/sr.nii.gz", model="bicubic-x2"), HERE)
    assert traces([tmp_path / "out"]) == []


def test_the_command_line_says_none_of_it_but_what_was_typed(catalog: Path, tmp_path: Path) -> None:
    zipped(tmp_path / "incoming" / WORD / f"{WORD} leaning", tmp_path / "typed.zip")
    command = [sys.executable, "-m", "flows.cli", "--verbose", "upscale", "typed.zip", "sr", "--model", "bicubic-x2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "GANTRY_TILT" in done.stderr
    assert [word for word in TRACES if word in done.stdout + done.stderr] == []


@pytest.mark.nightly
def test_under_prefect_it_is_in_no_database_and_no_log(catalog: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "serve.log", free_port()
    process = start_serve(catalog, port, log, SRCORE_PRIVATE_KEY=str(tmp_path / "key" / "private.key"))
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        served = Served(process, catalog, f"http://127.0.0.1:{port}", log)
        for name in ("ct", "packed"):
            state = served.wait_for(served.start_run(f"nightly/{name}"))
            assert state["message"].endswith("(GANTRY_TILT)"), state
        time.sleep(3)  # logs and events reach the database in batches
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert list((tmp_path / "store").rglob("prefect.db"))
    assert len(list((tmp_path / "store").rglob("*.dcm"))) == 2
    assert traces([tmp_path / "store"]) == []
    assert [word for word in TRACES if word in log.read_text()] == []
