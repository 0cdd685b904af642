"""A window and a dry run on the command line: what they say, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

from flows.cli.dry_run import size, span
from tests.flows.conftest import make_archive

Srcore = Callable[..., tuple[int, str, str]]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path)


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_window_of_a_file_is_a_product(srcore: Srcore, archive: Path) -> None:
    source = next((archive.parent / "in").glob("*.tif"))
    out = archive.parent / "part.tif"
    options = ("--model", "bicubic-x2", "--workers", 0)
    code, said, _ = srcore("upscale", source, out, "--window", "-3,11,33,20", *options)
    assert code == 0
    assert "note: a window of the scene: columns 0 to 30, rows 11 to 31 of 170 x 150 px" in said
    assert "reaches beyond the scene: clipped" in said
    with rasterio.open(out) as part, rasterio.open(source) as lr:
        assert (part.width, part.height) == (60, 40)
        assert part.xy(0, 0, offset="ul") == lr.xy(11, 0, offset="ul")
    item = json.loads((archive.parent / "part.json").read_text())
    assert item["properties"]["srcore:window"] == [0, 11, 30, 20]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--window", "1,2,3"], "is no X,Y,W,H"),
        (["--window", "1,2,3,0"], "1 px at least"),
        (["--window", "1,2,3.5,4"], "whole numbers"),
        (["--bbox", "10,0,5,1"], "W < E and S < N"),
        (["--window", "1,2,3,4", "--bbox", "1,2,3,4"], "not both"),
        (["--crs", "EPSG:4326"], "--bbox"),
        (["--bbox", "nan,0,1,1"], "is no W,S,E,N"),
    ],
)
def test_numbers_that_are_no_window_are_bad_usage(options: list[str], told: str, srcore: Srcore, archive: Path) -> None:
    source = next((archive.parent / "in").glob("*.tif"))
    code, _, err = srcore("upscale", source, archive.parent / "part.tif", *options)
    assert code == 2
    assert told in " ".join(err.split())


def test_a_part_of_a_scene_of_the_catalog_never_goes_into_the_store(srcore: Srcore, archive: Path) -> None:
    scene = next((archive.parent / "in").glob("*.tif")).stem
    run = ("run", "hills", "--catalog", archive, "--scene", scene, "--window", "5,5,40,30", "--workers", 0)
    code, _, err = srcore(*run)
    assert (code, "--to" in err) == (2, True)
    code, _, err = srcore(*run, "--to", archive.parent / "archive" / "hills")
    assert (code, "in the store" in err) == (2, True)
    code, said, _ = srcore(*run, "--to", archive.parent / "look")
    assert code == 0, said
    assert (archive.parent / "look" / f"{scene}.tif").exists()
    assert not (archive.parent / "archive").exists()


def test_a_dry_run_of_a_file_says_time_disk_and_memory_and_writes_nothing(srcore: Srcore, archive: Path) -> None:
    before = everything(archive.parent)
    source = next((archive.parent / "in").glob("*.tif"))
    call = ("upscale", source, archive.parent / "sr.tif", "--model", "srcore-x2", "--workers", 2, "--dry-run")
    code, said, _ = srcore(*call)
    assert code == 0
    assert "170 x 150 px to 340 x 300 px, 3 bands of uint16, by srcore-x2" in said
    assert "(a guess, no such run was measured here: from the model's size)" in said
    assert said.endswith("nothing was written\n")
    code, said, _ = srcore(*call, "--json")
    found = json.loads(said)
    assert found["product_bytes"] == int(4 / 3 * 3 * 340 * 300 * 2)
    assert found["tiles"] == 1
    assert 3 < found["seconds"] < 60
    assert everything(archive.parent) == before


def test_a_dry_run_says_whence_its_time_is_known(
    srcore: Srcore, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srcore.checkpoints import locate, read_spec
    from srcore.storage.disk.records import write_sealed

    monkeypatch.setenv("SRCORE_CACHE", str(archive.parent / "cache"))
    digest = read_spec(locate("srcore-x2")).digest
    trials = [{"backend": "fused", "lr_mpx_s": 0.001}, {"backend": "eager", "lr_mpx_s": None}]
    (archive.parent / "cache" / "engines").mkdir(parents=True)
    content = {"digest": digest, "device": "cpu", "precision": "float32", "trials": trials}
    write_sealed(archive.parent / "cache" / "engines" / "a.json", content)
    source = next((archive.parent / "in").glob("*.tif"))
    call = ("upscale", source, archive.parent / "sr.tif", "--model", "srcore-x2", "--workers", 1, "--dry-run", "--json")
    found = json.loads(srcore(*call)[1])
    assert "measured speed of srcore-x2 by fused on cpu" in found["seconds_by"]
    assert found["seconds"] == pytest.approx(3 + 3 * (170 + 32) * (150 + 32) / 1e6 / 0.001, rel=0.01)


def test_a_dry_run_says_what_such_a_run_took_here(
    srcore: Srcore, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_CACHE", str(archive.parent / "cache"))
    monkeypatch.setattr("srcore.run.measured.LEAST_S", 0.0)
    source = next((archive.parent / "in").glob("*.tif"))
    run = ("upscale", source, archive.parent / "sr.tif", "--model", "bicubic-x2", "--overwrite")
    assert srcore(*run, "--workers", 0)[0] == 0
    [record] = (archive.parent / "cache" / "runs").iterdir()
    found = json.loads(srcore(*run, "--workers", 0, "--dry-run", "--json")[1])
    assert found["seconds_by"] == "as one run of bicubic-x2 took on this machine"
    [(pixels, seconds)] = json.loads(record.read_text())["runs"]
    assert (pixels, found["seconds"]) == (3 * 170 * 150, round(seconds, 1))
    assert "a guess" in json.loads(srcore(*run, "--workers", 2, "--dry-run", "--json")[1])["seconds_by"]
    record.write_text("{}")  # damaged: a guess again, and the next run begins anew
    assert "a guess" in json.loads(srcore(*run, "--workers", 0, "--dry-run", "--json")[1])["seconds_by"]
    assert srcore(*run, "--workers", 0)[0] == 0
    assert len(json.loads(record.read_text())["runs"]) == 1


def test_a_dry_run_of_what_would_be_refused_is_refused(srcore: Srcore, archive: Path) -> None:
    source = next((archive.parent / "in").glob("*.tif"))
    code, _, err = srcore("upscale", source, archive.parent / "sr.png", "--dry-run")
    assert (code, "[BAD_OUTPUT]" in err) == (2, True)


def test_a_dry_run_of_a_dataset_tells_each_due_scene_and_the_sum(srcore: Srcore, archive: Path) -> None:
    before = everything(archive.parent)
    code, said, _ = srcore("run", "hills", "--catalog", archive, "--dry-run", "--workers", 0)
    lines = said.splitlines()
    assert code == 0
    assert lines[0] == "scene\tstate\twhy\ttiles\ttime\tproduct\tscratch"
    scenes = len(list((archive.parent / "in").glob("*.tif")))
    assert f"hills: {scenes - 1} would be done in about" in said
    assert "1 would be refused" in said
    assert any(line.startswith("broken\trefused") and "NOT_SUPPORTED" in line for line in lines)
    code, said, _ = srcore("run", "hills", "--catalog", archive, "--dry-run", "--workers", 0, "--json", "--limit", 1)
    (only,) = json.loads(said)
    assert (only["state"], only["scene"]) == ("refused", "broken")
    assert everything(archive.parent) == before


def test_sizes_and_spans_are_for_people() -> None:
    assert [size(n) for n in (0, 999, 1500, 26_000_000, 3.2e9, 4e12)] == [
        "0 B",
        "999 B",
        "1.5 KB",
        "26 MB",
        "3.2 GB",
        "4.0 TB",
    ]
    assert [span(s) for s in (3.4, 89, 90, 5399, 7200)] == ["3 s", "89 s", "2 min", "90 min", "2.0 h"]
