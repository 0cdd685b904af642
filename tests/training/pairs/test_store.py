"""Collecting: accepted pairs are kept with their origin, refused ones told, and nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flows.cli import main
from srcore.catalog import Catalog, load_catalog
from srcore.codes import CODES
from srcore.errors import CatalogError, SourceError, StoreError
from srcore.layout import DatasetPaths
from srcore.progress import silent
from srcore.storage.archive.pairs import read_arrays, read_record
from srcore.training.pairs import store
from srcore.training.pairs.find import overlap
from srcore.training.pairs.measure import read_pair
from srcore.training.pairs.store import check_pairs, collect_pairs
from srcore.training.pairs.table import Table, read_table
from tests.training.pairs.drawn import pair
from tests.training.pairs.files import CORNER, write, write_pair


def catalog_of(folder: Path, **datasets: dict[str, Any]) -> Path:
    """A catalog whose datasets are rasters for srcore-x2."""
    told = {name: {"kind": "raster", "model": "srcore-x2", **keys} for name, keys in datasets.items()}
    path = folder / "data_catalog.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "store": "./archive", "datasets": told}))
    return path


def of_folders(folder: Path, **keys: Any) -> Path:
    return catalog_of(folder, s2={"source": "./lr/*.tif", "hr": "./hr", **keys})


def three(folder: Path) -> Path:
    """A right pair, one that is moved back, and a wrong one."""
    write_pair(folder, "right", pair(0))
    write_pair(folder, "moved", pair(1, shift_hr_px=(0.0, 3.0)), east=50000)
    write_pair(folder, "wrong", pair(2), east=100000, values=pair(3).hr)
    write_pair(folder, "alone", pair(4), east=150000)
    (folder / "hr" / "alone.tif").unlink()
    return of_folders(folder)


def codes(table: Table) -> dict[str, str]:
    return {row.scene: row.code for row in table.rows}


def test_pairs_are_kept_with_their_origin_and_the_others_are_told(tmp_path: Path) -> None:
    catalog = load_catalog(three(tmp_path))
    table = collect_pairs(catalog, "s2", silent)
    assert codes(table) == {"alone": "NO_HR", "moved": "", "right": "", "wrong": "UNLIKE"}
    places = DatasetPaths(tmp_path / "archive/s2")
    arrays, record = read_arrays(places.pairs / "right"), read_record(places.pairs / "right")
    assert np.array_equal(arrays["hr"], pair(0).hr)
    assert np.array_equal(arrays["lr"], pair(0).lr)
    assert arrays["hr_valid"].all()
    assert [Path(one["path"]).parent.name for one in record["files"]] == ["lr", "hr"]
    assert all(len(one["sha256"]) == 64 for one in record["files"])
    assert record["scale"] == [2, 2]
    assert record["grid"]["affine"] == [[0.0, 10.0, CORNER[0]], [-10.0, 0.0, CORNER[1]]]
    moved = read_record(places.pairs / "moved")
    assert moved["figures"]["shift_columns"] == pytest.approx(1.5, abs=0.1)
    assert "moved back" in moved["notes"][0]
    assert not (places.pairs / "wrong").exists()
    page = places.pairs_page.read_text()
    assert "2 of 4 scenes are pairs" in page
    assert "moved back by" in page
    assert "http" not in page.replace("http-equiv", "")
    assert read_table(places.pairs, "s2").to_json() == table.to_json()
    # what the moved HR no longer covers is cropped, and its grid says so
    cropped = read_arrays(places.pairs / "moved")["hr"].shape[1:]
    assert cropped == (160, 140) == tuple(moved["grid"]["shape"])
    assert moved["grid"]["affine"][0] == [0.0, 10.0, CORNER[0] + 50000]


def test_the_lr_of_a_pair_may_be_a_mosaic(tmp_path: Path) -> None:
    catalog_of_whole = three(tmp_path)
    collect_pairs(load_catalog(catalog_of_whole), "s2", silent)
    arrays = read_arrays(tmp_path / "archive/s2/pairs/right")
    lr, middle = pair(0).lr, pair(0).lr.shape[2] // 2
    for path in (tmp_path / "lr").iterdir():
        path.unlink()
    write(tmp_path / "lr/right_0.tif", lr[:, :, : middle + 5], 20)
    write(tmp_path / "lr/right_1.tif", lr[:, :, middle:], 20, corner=(CORNER[0] + 20 * middle, CORNER[1]))
    parts = load_catalog(of_folders(tmp_path, mosaic={"group": "{scene}_?.tif", "order": "first"}))
    assert codes(collect_pairs(parts, "s2", silent)) == {"right": ""}
    record, joined = (read(tmp_path / "archive/s2/pairs/right") for read in (read_record, read_arrays))
    assert [Path(one["path"]).name for one in record["files"]] == ["right_0.tif", "right_1.tif", "right.tif"]
    assert all(np.array_equal(joined[name], arrays[name]) for name in ("lr", "hr", "lr_valid", "hr_valid"))


def test_nothing_is_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = load_catalog(three(tmp_path))
    first = collect_pairs(catalog, "s2", silent)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive/s2/pairs").glob("*/pair.json")}
    monkeypatch.setattr(store, "measure", None)  # would be called
    assert collect_pairs(catalog, "s2", silent).rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in made} == made
    monkeypatch.undo()
    os.rename(tmp_path / "lr/right.tif", tmp_path / "lr/zebra.tif")
    os.rename(tmp_path / "hr/right.tif", tmp_path / "hr/zebra.tif")
    assert codes(collect_pairs(catalog, "s2", silent))["zebra"] == ""
    assert {path.parent.name for path in (tmp_path / "archive/s2/pairs").glob("*/pair.json")} == {"moved", "zebra"}
    shutil.rmtree(tmp_path / "archive/s2/pairs/zebra/pair.zarr")
    collect_pairs(catalog, "s2", silent)
    assert np.array_equal(read_arrays(tmp_path / "archive/s2/pairs/zebra")["hr"], pair(0).hr), "what is lost is made"


def test_other_bytes_and_other_rules_are_checked_again(tmp_path: Path) -> None:
    catalog = load_catalog(three(tmp_path))
    collect_pairs(catalog, "s2", silent)
    write_pair(tmp_path, "right", pair(0), values=(pair(0).hr * 0.8).astype("u2"))
    assert codes(collect_pairs(catalog, "s2", silent))["right"] == "OTHER_GAIN"
    assert not (tmp_path / "archive/s2/pairs/right").exists()
    assert codes(collect_pairs(load_catalog(of_folders(tmp_path, pairs={"fit": True})), "s2", silent))["right"] == ""
    assert read_record(tmp_path / "archive/s2/pairs/right")["figures"]["gain"] == pytest.approx(1.25, abs=0.03)


def test_all_again_leaves_no_pair_that_is_none_any_more(tmp_path: Path) -> None:
    catalog, folder = load_catalog(three(tmp_path)), tmp_path / "archive/s2/pairs"
    collect_pairs(catalog, "s2", silent)
    write_pair(tmp_path, "right", pair(0), values=(pair(0).hr * 0.8).astype("u2"))
    (tmp_path / "lr/moved.tif").unlink()
    assert codes(collect_pairs(catalog, "s2", silent, force=True))["right"] == "OTHER_GAIN"
    assert sorted(path.name for path in folder.iterdir()) == ["pairs.html", "pairs.json"]
    (folder / "pairs.json").write_text("{")
    assert codes(collect_pairs(catalog, "s2", silent, force=True))["right"] == "OTHER_GAIN"


def test_a_copy_is_refused_and_the_first_one_stays(tmp_path: Path) -> None:
    catalog = load_catalog(three(tmp_path))
    collect_pairs(catalog, "s2", silent)
    for part in ("lr", "hr"):
        shutil.copyfile(tmp_path / part / "right.tif", tmp_path / part / "a_copy.tif")
    noisy = pair(0).hr + np.random.default_rng(0).integers(0, 9, pair(0).hr.shape).astype("u2")
    write_pair(tmp_path, "b_alike", pair(0), values=noisy)
    found = codes(collect_pairs(catalog, "s2", silent))
    assert (found["a_copy"], found["b_alike"], found["right"]) == ("DUPLICATE", "DUPLICATE", "")


def test_a_damaged_pair_is_not_given_and_a_stranger_is_not_removed(tmp_path: Path) -> None:
    catalog = load_catalog(three(tmp_path))
    collect_pairs(catalog, "s2", silent)
    folder = tmp_path / "archive/s2/pairs"
    chunk = next(
        path for path in (folder / "right/pair.zarr/hr").rglob("*") if path.is_file() and "zarr" not in path.name
    )
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(StoreError):
        read_arrays(folder / "right")
    (folder / "mine").mkdir()
    (folder / "mine/notes.txt").write_text("mine")
    (tmp_path / "lr/moved.tif").unlink()
    collect_pairs(catalog, "s2", silent)
    assert not (folder / "moved").exists()
    assert (folder / "mine/notes.txt").exists()


def test_a_pair_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = load_catalog(three(tmp_path))

    def slow(*args: Any) -> Any:
        found = read_pair(*args)
        write_pair(tmp_path, args[1].scene, pair(9))
        return found

    monkeypatch.setattr("srcore.training.pairs.measure.read_pair", slow)
    found = codes(check_pairs(catalog, "s2", silent))
    assert found["right"] == found["moved"] == "SOURCE_CHANGED"


def test_a_full_disk_ends_it_and_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, written = load_catalog(three(tmp_path)), []

    def full(*args: Any, **told: Any) -> None:
        if written:
            raise StoreError("the disk is full", "", "", code="DISK_FULL")
        written.append(args[1])
        real(*args, **told)

    real = store.write_pair
    monkeypatch.setattr(store, "write_pair", full)
    with pytest.raises(StoreError):
        collect_pairs(catalog, "s2", silent)
    monkeypatch.undo()
    assert read_arrays(tmp_path / "archive/s2/pairs" / written[0])
    assert collect_pairs(catalog, "s2", silent).accepted == 2


def test_scenes_without_a_measured_lr_are_looked_at_alone(tmp_path: Path) -> None:
    for index in range(2):
        write(tmp_path / "in" / f"right{index}.tif", pair(index).hr, 10)
    write(tmp_path / "in" / "enlarged.tif", pair(2).lr.repeat(2, 1).repeat(2, 2), 10)
    write(tmp_path / "in" / "flat.tif", np.full((1, 90, 90), 5, "u2"), 10)
    catalog = load_catalog(catalog_of(tmp_path, own={"source": "./in/*.tif"}))
    assert codes(collect_pairs(catalog, "own", silent)) == {
        "right0": "",
        "right1": "",
        "enlarged": "NO_DETAIL",
        "flat": "NO_CONTENT",
    }
    assert set(read_arrays(tmp_path / "archive/own/pairs/right0")) == {"hr", "hr_valid"}


# two datasets


def two(folder: Path, **keys: Any) -> Catalog:
    return load_catalog(
        catalog_of(
            folder,
            coarse={"source": "./coarse/*.tif", "pairs": {"hr": "fine", **keys}},
            fine={"source": "./fine/*.tif", "model": "srcore-x2"},
        )
    )


def dated(day: int, month: int = 6) -> dict[str, Any]:
    return {"TIFFTAG_DATETIME": f"2024:{month:02}:{day:02} 10:00:00", "ACQUISITION_DATE": f"2024-{month:02}-{day:02}"}


def test_hr_is_found_in_another_dataset_by_ground_and_time(tmp_path: Path) -> None:
    a, b, east = pair(0), pair(1), (CORNER[0] + 50000, CORNER[1])
    names = ("B8A", "B11")
    write(tmp_path / "coarse/a.tif", np.repeat(a.lr, 2, 0), 20, names=names, **dated(10))
    write(tmp_path / "coarse/b.tif", np.repeat(b.lr, 2, 0), 20, corner=east, names=names, **dated(10))
    write(
        tmp_path / "coarse/c.tif", np.repeat(b.lr, 2, 0), 20, corner=(east[0], 4e6), names=("B8A", "B11"), **dated(10)
    )
    other = pair(5).hr
    write(tmp_path / "fine/one.tif", np.concatenate([other, a.hr]), 10, names=("B02", "B08"), **dated(12))
    write(tmp_path / "fine/late.tif", np.concatenate([other, other]), 10, names=("B02", "B08"), **dated(25))
    write(
        tmp_path / "fine/two.tif", np.concatenate([other, b.hr]), 10, corner=east, names=("B02", "B08"), **dated(1, 8)
    )
    table = check_pairs(two(tmp_path, bands={"B8A": "B08"}), "coarse", silent)
    assert codes(table) == {"a": "", "b": "NO_HR", "c": "NO_HR"}
    rows = {row.scene: row for row in table.rows}
    assert rows["a"].figures["days"] == pytest.approx(2, abs=1.1)
    assert rows["a"].figures["ncc"] > 0.98
    assert "days away, 16 are the most" in rows["b"].why
    assert "none of 3 HR scenes lies on its ground" in rows["c"].why
    assert rows["a"].notes == ()
    write(tmp_path / "coarse/c.tif", np.repeat(b.lr, 2, 0), 20, corner=(9e5, 4e6), names=("B8A", "B11"))
    write(tmp_path / "fine/undated.tif", np.concatenate([other, b.hr]), 10, corner=(9e5, 4e6), names=("B02", "B08"))
    found = {row.scene: row for row in check_pairs(two(tmp_path, bands={"B8A": "B08"}), "coarse", silent).rows}
    assert found["c"].code == ""
    assert found["c"].notes[0] == "no date says that HR and LR are of one time"
    later = check_pairs(two(tmp_path, bands={"B8A": "B08"}, within_days=60), "coarse", silent)
    assert codes(later)["b"] == ""


def test_scenes_that_are_called_as_records_are_and_a_folder_of_the_users(tmp_path: Path) -> None:
    names = ["pairs.json", "lease.json", "PAIRS.html", "pairs.json.pair", "mine"]
    for index, name in enumerate(names):
        write_pair(tmp_path, name, pair(index), east=50000 * index)
    (tmp_path / "archive/s2/pairs/mine").mkdir(parents=True)
    note = tmp_path / "archive/s2/pairs/mine/note.txt"
    note.write_text("mine")
    catalog = load_catalog(of_folders(tmp_path))
    wanted = {**dict.fromkeys(names, ""), "mine": "OUTPUT_EXISTS"}
    for _ in range(2):
        assert codes(collect_pairs(catalog, "s2", silent)) == wanted
    assert note.read_text() == "mine"
    folder = tmp_path / "archive/s2/pairs"
    assert {path.parent.name for path in folder.glob("*/pair.json")} == {
        "pairs.json.pair",
        "lease.json.pair",
        "PAIRS.html.pair",
        "pairs.json.pair.pair",
    }
    assert (folder / "pairs.json").is_file()
    (tmp_path / "lr/pairs.json.tif").unlink()
    collect_pairs(catalog, "s2", silent)
    assert not (folder / "pairs.json.pair").exists()


def test_a_damaged_pair_beside_a_new_one_is_made_again(tmp_path: Path) -> None:
    catalog = load_catalog(three(tmp_path))
    collect_pairs(catalog, "s2", silent)
    folder = tmp_path / "archive/s2/pairs"
    [chunk] = [path for path in (folder / "right/pair.zarr/hr/c").rglob("*") if path.is_file()]
    chunk.write_bytes(b"nothing")
    write_pair(tmp_path, "new", pair(6), east=200000)
    found = codes(collect_pairs(catalog, "s2", silent))
    assert (found["right"], found["new"]) == ("", "")
    assert np.array_equal(read_arrays(folder / "right")["hr"], pair(0).hr)


def test_a_registry_that_is_away_for_an_hour_makes_no_pair_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_catalog(three(tmp_path))
    before = collect_pairs(catalog, "s2", silent)

    def away(_reference: str) -> None:
        raise StoreError("the registry does not answer", code="REGISTRY_AWAY")

    monkeypatch.setattr(store, "resolve", away)
    with pytest.raises(StoreError) as refused:
        collect_pairs(catalog, "s2", silent)
    assert refused.value.code == "REGISTRY_AWAY"
    assert read_table(tmp_path / "archive/s2/pairs", "s2").rows == before.rows
    assert "any whole ratio is taken" in check_pairs(catalog, "s2", silent).notes[0]


def test_an_hr_of_a_folder_is_of_its_lrs_time(tmp_path: Path) -> None:
    one = pair(0)
    write(tmp_path / "lr/a.tif", one.lr, 20, **dated(1))
    write(tmp_path / "hr/a.tif", one.hr, 10, **dated(28))
    [row] = check_pairs(load_catalog(of_folders(tmp_path)), "s2", silent).rows
    assert row.code == "TIME_GAP"
    assert "apart" in row.why
    [row] = check_pairs(load_catalog(of_folders(tmp_path, pairs={"within_days": 30})), "s2", silent).rows
    assert row.code == ""


def test_boxes_meet_across_the_date_line() -> None:
    assert overlap((179.0, 0, -179.0, 2), (-180.0, 0, -178.0, 2)) == pytest.approx(0.5)
    assert overlap((0, 0, 1, 1), (0.5, 0, 1.5, 1)) == pytest.approx(0.5)
    assert overlap((0, 0, 1, 1), (2, 0, 3, 1)) == 0


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"pairs": {"hr": "nowhere"}}, "another dataset is needed"),
        ({"pairs": {"hr": "s2"}}, "another dataset is needed"),
        ({"hr": "./hr", "pairs": {"hr": "other"}}, "take one out"),
        ({"pairs": {"bands": {}}}, "bands are empty"),
        ({"pairs": {"sensor": "third"}}, "sensor"),
        ({"pairs": {"unknown": 1}}, "unknown"),
        ({"pairs": {"schedule": "often"}}, "schedule"),
    ],
)
def test_the_catalog_refuses_what_is_no_source_of_pairs(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    path = catalog_of(tmp_path, s2={"source": "./lr/*.tif", **keys}, other={"source": "./fine/*.tif"})
    with pytest.raises(CatalogError, match=told):
        load_catalog(path)


@pytest.mark.parametrize("private", ["coarse", "fine"])
def test_nothing_is_taken_from_a_restricted_dataset(tmp_path: Path, private: str) -> None:
    keys: dict[str, dict[str, Any]] = {
        "coarse": {"source": "./coarse/*.tif", "pairs": {"hr": "fine"}},
        "fine": {"source": "./fine/*.tif"},
    }
    keys[private]["privacy"] = "restricted"
    with pytest.raises(SourceError) as refused:
        collect_pairs(load_catalog(catalog_of(tmp_path, **keys)), "coarse", silent)
    assert refused.value.code == "RESTRICTED"
    assert not list((tmp_path / "archive").rglob("*.json"))


# the command line


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["srcore", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = str(three(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert run(monkeypatch, "pairs", "list", "s2", "--catalog", catalog) == 2
    assert "TOO_FEW_PAIRS" in capsys.readouterr().err
    assert run(monkeypatch, "pairs", "check", "s2", "--catalog", catalog) == 0
    assert not (tmp_path / "archive").exists(), "checking writes nothing"
    assert run(monkeypatch, "pairs", "collect", "s2", "--catalog", catalog) == 0
    assert "s2: 2 pairs, 2 refused: 1 NO_HR, 1 UNLIKE" in capsys.readouterr().out
    assert run(monkeypatch, "pairs", "list", "s2", "--catalog", catalog, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["refused"]) == (2, 2)
    assert {one["code"] for one in told["pairs"]} == {"", "NO_HR", "UNLIKE"} <= {"", *CODES}
    shutil.rmtree(tmp_path / "hr")
    (tmp_path / "hr").mkdir()
    assert run(monkeypatch, "pairs", "collect", "s2", "--catalog", catalog) == 1


def test_in_a_pipe_a_scene_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "pairs", "check", "s2", "--catalog", str(three(tmp_path))) == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[:5]]
    assert head == ["scene", "verdict", "figures"]
    assert [row[:2] for row in rows] == [["alone", "NO_HR"], ["moved", "pair"], ["right", "pair"], ["wrong", "UNLIKE"]]
    assert "moved back by" in rows[1][2]
