"""Learning from private volumes that somebody released: the reason is told, and nothing of a patient is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage

from flows.retrain import retrain_dataset
from flows.service.arrivals import pair_files
from srcore.catalog import Catalog, load_catalog
from srcore.checkpoints import Architecture
from srcore.errors import CatalogError, SourceError, SRError
from srcore.layout import DatasetPaths
from srcore.progress import silent
from srcore.registry.mlflow_store import open_registry
from srcore.run.privacy import erase
from srcore.storage.archive.pairs import pair_folder, read_arrays, read_record
from srcore.storage.disk.files import hidden_folder
from srcore.storage.disk.records import read_sealed
from srcore.training import promote
from srcore.training.pairs.find import Pair
from srcore.training.pairs.store import collect_pairs
from srcore.training.round import Round, lay_out, released
from srcore.weights import build, describe, save_checkpoint
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text
from tests.storage.dicom.canary import TRACES, WORD, traces, write_canaries
from tests.training.retrain_cases import RECIPE, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")

REASON = "consent of all for research on resolution, vote 12/2026 of the board"
PLACE = '"^([^/]+)/"'
CATALOG = """\
version: 1
store: ./store
datasets:
  ct:
    kind: volume
    source: ./in/{patient}/{scene}.nii.gz
    model: tiny-volume@champion
"""
RELEASED = f"""\
    release: {REASON}
    retrain: {{recipe: ./recipe.yaml, place: {PLACE}}}
"""


def texture(seed: int, slices: int = 4, side: int = 48) -> np.ndarray:
    """(Z, Y, X) of int16 with detail beyond averages of 2 x 2."""
    noise = np.random.default_rng(seed).normal(size=(slices, side, side))
    return (ndimage.gaussian_filter(noise, (0.5, 1.0, 1.0)) * 2000).clip(-1000, 3000).astype(np.int16)


def write_volume(path: Path, values: np.ndarray, step: float = 1.0) -> Path:
    """A NIfTI that says the word wherever it can; the outer edge is the same for all steps in the plane."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([step, step, 3.0, 1.0])
    affine[:2, 3] = step / 2
    image = nibabel.Nifti1Image(values.T, affine)
    image.header["descrip"] = image.header["db_name"] = WORD
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", WORD.encode()))
    nibabel.save(image, path)
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six volumes of five patients, one of them cut; the model is a small one of slices of half the size."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SRCORE_PRIVATE_KEY", str(tmp_path / "keys/private.key"))
    register_tiny(tmp_path)
    torch.manual_seed(0)
    own = Architecture(name="edsr-volume", params={"scale": [1, 2, 2], "width": 4, "blocks": 1})
    spec = describe("tiny-volume", own)
    save_checkpoint(tmp_path / "tiny-volume", spec, build(spec), "")
    open_registry().register(tmp_path / "tiny-volume")
    for index in range(6):
        write_volume(volumes(tmp_path)[index], texture(index))
    cut = write_volume(tmp_path / f"in/{WORD} 9/{WORD} cut.nii.gz", texture(9))
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "recipe.yaml").write_text(
        RECIPE.format(steps=2, rate=1e-3).replace("core_px: 16", "core_px: [2, 8, 8]\nslab: [2, 4]")
    )
    return says(tmp_path, RELEASED)


def volumes(folder: Path) -> list[Path]:
    patients = (0, 0, 1, 2, 3, 4)
    return [folder / f"in/{WORD} {patient}/{WORD}_{index}.nii.gz" for index, patient in enumerate(patients)]


def says(folder: Path, keys: str) -> Path:
    (folder / "catalog.yaml").write_text(CATALOG + keys)
    return folder / "catalog.yaml"


def collected(path: Path) -> tuple[Catalog, DatasetPaths]:
    catalog = load_catalog(path)
    collect_pairs(catalog, "ct", silent)
    return catalog, DatasetPaths(Path(catalog.store) / "ct")


def of_round(path: Path) -> Round:
    return lay_out(load_catalog(path), "ct")


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("    release: true\n", "a reason in 10 to 300 characters is needed"),
        ('    release: "   yes  "\n', "a reason in 10 to 300 characters is needed"),
        (f"    release: {REASON * 9}\n", "a reason in 10 to 300 characters is needed"),
        (f"    privacy: public\n    release: {REASON}\n", "what is public needs no release"),
    ],
)
def test_a_release_is_a_reason_and_of_what_is_private(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        load_catalog(says(tmp_path, keys))


def test_no_raster_is_released(tmp_path: Path) -> None:
    path = says(tmp_path, f"    privacy: restricted\n    release: {REASON}\n")
    path.write_text(path.read_text().replace("kind: volume", "kind: raster").replace(".nii.gz", ".tif"))
    with pytest.raises(CatalogError, match="known by its file's name"):
        load_catalog(path)


@pytest.mark.parametrize("privacy", ["", "    privacy: restricted\n", "    privacy: hidden\n"])
def test_without_a_release_nothing_is_learned_from_and_it_can_be_taken_back(archive: Path, privacy: str) -> None:
    collected(archive)
    says(archive.parent, privacy + RELEASED.replace("    release:", "    title:") + "    pairs: {}\n")
    for learn in (of_round, collected):
        with pytest.raises(SourceError, match="nothing is learned from") as refused:
            learn(archive)
        assert refused.value.code == "RESTRICTED"
    says(archive.parent, privacy + RELEASED)
    assert len(of_round(archive).pairs) == 6


def test_pairs_are_their_owners_alone_and_tell_patients_apart_by_hashes(archive: Path) -> None:
    catalog, places = collected(archive)
    table = read_sealed(places.pairs / "pairs.json")
    rows = {row["scene"]: row for row in table["rows"]}
    assert sorted(row["code"] for row in rows.values()) == [*[""] * 6, "TRUNCATED"]
    assert all(name.startswith("veiled:") for name in table["files"])
    assert open_to_others(places.pairs) == [path for path in places.pairs.glob("*.*") if path.is_file()]
    assert places.pairs.stat().st_mode & 0o777 == 0o700
    records = [read_record(pair_folder(places.pairs, name)) for name, row in rows.items() if not row["code"]]
    assert {one["facts"]["below"] for one in records} == {""}
    assert len({one["facts"]["place"] for one in records}) == 5
    assert traces([places.root, archive.parent / "keys"]) == []
    stored = of_round(says(archive.parent, RELEASED.replace("{recipe", "{from: pairs, recipe")))
    alike = {frozenset(pair.scene for pair in one.pairs if pair.held) for one in (stored, of_round(archive))}
    assert len(alike) == 1, "one split, of the files and of what was kept of them"
    says(archive.parent, RELEASED.replace("{recipe", "{from: pairs, recipe").replace("+)/", "+)"))
    with pytest.raises(SourceError, match="checked by other rules") as refused:
        of_round(archive)
    assert refused.value.code == "PAIR_CHANGED"
    [gone] = [name for name, row in rows.items() if row["code"]]
    for scene in (gone, records[0]["scene"]):
        erase(catalog, scene)
        assert scene not in (places.pairs / "pairs.json").read_text()
        assert not pair_folder(places.pairs, scene).exists()


def test_after_a_retraining_the_reason_is_told_and_the_word_is_nowhere(
    archive: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    seen: list[Any] = []

    def call(step: str, work: Any) -> Any:
        [folder] = archive.parent.glob("store/ct/.retrain/*/pairs") if step == "fit" else [None]
        if folder is not None:
            seen.append((traces([archive.parent / "store"]), folder.parent.stat().st_mode & 0o777))
        return work(silent)

    decision = retrain_dataset(archive, "ct", call)
    assert seen == [([], 0o700)]
    assert (decision.pairs, next(iter(decision.left_out.values()))[:9]) == (6, "TRUNCATED")
    version = open_registry().versions("tiny-volume")[0]
    assert version.digest in decision.challenger
    files = Path(unquote(urlsplit(version.source).path)).parent
    assert REASON in (files / "checkpoint/README.md").read_text()
    assert REASON in json.loads((files / "checkpoint/config.json").read_text())["training"]["attribution"]
    told = open_registry().client.get_model_version("tiny-volume", version.version)
    assert REASON in told.description
    assert not (files / "pictures").exists()
    assert len([*files.iterdir()]) > 3
    text = "".join([caplog.text, *capfd.readouterr(), str(decision)])
    assert [word for word in TRACES if word in text] == []
    assert traces([archive.parent / name for name in ("store", "registry", "keys", "cache")] + [files]) == []


def test_an_interrupted_round_is_erased_with_a_scene_that_it_learns_from(archive: Path) -> None:
    work = of_round(archive)
    promote.collect(work, silent)
    scene = next(pair.scene for pair in work.pairs if not pair.held)
    assert [*work.folder.glob(f"pairs/**/{scene}.nii.gz")]
    work.places.pairs.mkdir()
    with hidden_folder(pair_folder(work.places.pairs, scene)) as hidden:
        (hidden / "new").mkdir()
        shutil.copytree(hidden, left := hidden.with_name(f".{scene}.killed00.part"))
        shutil.copytree(hidden, mine := hidden.with_name(f".{scene}.killed01.part"))
        (mine / "mine").write_text("mine")
    strange = work.places.retraining / "mine"
    shutil.copytree(work.folder, strange)
    [erased] = erase(load_catalog(archive), scene)
    assert (work.folder.exists(), left.exists(), mine.exists()) == (False, False, True)
    assert strange.exists()
    assert [path.name for path in erased.learned] == ["split.json"]


def test_a_measured_hr_is_found_by_the_name_that_its_file_has_and_told_by_none(
    archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    says(archive.parent, RELEASED + "    hr: ./hr\n    pairs: {on_arrival: true}\n")
    for index, path in enumerate(volumes(archive.parent)):
        values = texture(index)
        write_volume(archive.parent / "hr" / path.name, values)
        write_volume(path, values.reshape(4, 24, 2, 24, 2).mean((2, 4)).astype(np.int16), step=2.0)
    (archive.parent / "hr" / volumes(archive.parent)[5].name).write_bytes(WORD.encode())
    catalog, places = collected(archive)
    table = read_sealed(places.pairs / "pairs.json")
    codes = sorted(row["code"] for row in table["rows"])
    assert codes == [*[""] * 5, "NOT_SUPPORTED", "NO_HR"]
    first = next(row["scene"] for row in table["rows"] if not row["code"])
    assert set(read_arrays(pair_folder(places.pairs, first))) == {"hr", "hr_valid", "lr", "lr_valid"}
    assert traces([archive.parent / "store"]) == []
    assert WORD not in caplog.text + str(pair_files(catalog, "ct"))


def test_a_series_of_dicom_is_learned_from_as_its_files_are(archive: Path) -> None:
    for index in range(2):
        write_canaries(archive.parent / f"series/{WORD} {index}/{WORD}", texture(index, 2, 40))
    text = CATALOG.replace("./in/{patient}/{scene}.nii.gz", "./series/{patient}/{series}/") + RELEASED
    archive.write_text(text + "    products: [dicom, report]\n")
    catalog, places = collected(archive)
    table = read_sealed(places.pairs / "pairs.json")
    assert [row["code"] for row in table["rows"]] == ["", ""]
    assert [len(row["digests"]) for row in table["rows"]] == [3, 3], "two slices, and a text beside them"
    assert traces([places.root]) == []
    for row in table["rows"]:
        erase(catalog, row["scene"])
    assert traces([places.root, archive.parent / "keys"]) == []


def test_what_has_text_in_its_pixels_is_not_learned_from(archive: Path) -> None:
    write_canaries(archive.parent / "series/a/b", texture(0, 2, 40), BurnedInAnnotation="YES")
    text = CATALOG.replace("./in/{patient}/{scene}.nii.gz", "./series/{patient}/{series}/") + RELEASED
    archive.write_text(text + "    products: [dicom, report]\n")
    _, places = collected(archive)
    assert [row["code"] for row in read_sealed(places.pairs / "pairs.json")["rows"]] == ["RESTRICTED"]


def test_what_nobody_expected_of_a_pair_names_no_file(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_entry: Any, pair: Pair) -> None:
        raise KeyError(f"{pair.paths[0]}")

    monkeypatch.setattr("srcore.training.pairs.measure.header_of", broken)
    monkeypatch.setattr("srcore.training.data.collect.header_of", broken)
    with pytest.raises(SRError) as raised:
        collected(archive)
    assert raised.value.code == "UNEXPECTED"
    assert WORD not in f"{raised.value!r} {raised.value.__context__} {raised.value.__cause__}"
    with pytest.raises(SRError) as raised:
        of_round(archive)
    assert WORD not in str(raised.value)


def test_a_file_that_goes_while_it_is_looked_at_is_not_named(archive: Path) -> None:
    path = volumes(archive.parent)[0]
    one = Pair("s-1", (path,), (), (), None, (archive.parent / "in",), private=True)
    os.unlink(path)
    for look in (lambda: one.mtime_ns, lambda: one.stamps):
        with pytest.raises(SourceError, match="veiled:") as raised:
            look()
        assert WORD not in str(raised.value)


def test_the_reason_stands_once_however_often_is_learned(tmp_path: Path) -> None:
    entry = load_catalog(says(tmp_path, RELEASED)).dataset("ct")
    once = released("By nobody.", entry)
    assert once.endswith(f"\n\nLearned from private volumes, released for this reason: {REASON}")
    assert released(once, entry) == once
    assert released("By nobody.", entry.model_copy(update={"release": None})) == "By nobody."


@pytest.mark.nightly
@pytest.mark.slow
def test_under_a_service_the_word_is_in_no_database_and_no_log(archive: Path, tmp_path: Path) -> None:
    """Collecting and retraining on its worker, with what the registry's files hold."""
    log, port = tmp_path / "serve.log", free_port()
    says(tmp_path, RELEASED + "    pairs: {on_arrival: true}\n")
    kept = {name: os.environ[name] for name in ("SRCORE_REGISTRY", "SRCORE_CACHE", "SRCORE_PRIVATE_KEY")}
    process = start_serve(archive, port, log, **kept)
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        served = Served(process, archive, f"http://127.0.0.1:{port}", log)
        collecting = served.wait_for(served.start_run("collect-pairs/ct"), 240)
        assert collecting["message"] == "ct: 6 pairs, 1 refused: 1 TRUNCATED"
        assert served.wait_for(served.start_run("retrain/ct"), 400)["type"] == "COMPLETED"
        time.sleep(3)  # logs and events reach the database in batches
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert list((tmp_path / "store").rglob("prefect.db"))
    files = Path(unquote(urlsplit(open_registry().versions("tiny-volume")[0].source).path)).parent
    assert REASON in (files / "checkpoint/README.md").read_text()
    assert traces([tmp_path / name for name in ("store", "registry", "keys", "cache")] + [files]) == []
    assert [word for word in TRACES if word in log.read_text()] == []
