"""Nothing of the user's is touched: outputs that are inputs, neighbours, links, and folders that others made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from srcore.dispatch import Workers
from srcore.errors import PlanError, SRError, StoreError
from srcore.layout import PLAN
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.ownership import is_ours, remove_ours
from srcore.storage.archive.publish import Receipt
from tests.faults import archive

OPTIONS = {"model": "nearest-x2", "outputs": ("cog", "stac", "quicklook", "report")}


def upscale(source: Path | str, output: Path, **options: object) -> Receipt | None:
    return run_scene(direct_job(str(source), output, **{**OPTIONS, **options}), Workers(0))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return archive.write_scene(tmp_path / "in" / "scene.tif")


@pytest.mark.parametrize("suffix", [".json", ".png", ".report.json", ".report.html", ".receipt.json", ".tif"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_neighbour_that_no_receipt_names_is_never_replaced(
    scene: Path, tmp_path: Path, suffix: str, overwrite: bool
) -> None:
    mine = tmp_path / "out" / f"sr{suffix}"
    mine.parent.mkdir()
    mine.write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(SRError, match=mine.name.replace(".", "[.]")):
        upscale(scene, tmp_path / "out" / "sr.tif", overwrite=overwrite)
    assert everything(tmp_path) == before


def test_the_quicklook_never_replaces_the_input(tmp_path: Path, landscape: Callable[..., object]) -> None:
    from PIL import Image

    source = tmp_path / "photo.png"
    Image.effect_noise((40, 30), 60).save(source)
    before = source.read_bytes()
    with pytest.raises(PlanError, match="is the input"):
        upscale(source, tmp_path / "photo.tif", overwrite=True)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_the_input_by_any_other_name_is_the_input(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.link(scene, tmp_path / "out" / "hard.tif")
    os.symlink(scene, tmp_path / "out" / "soft.tif")
    before = scene.read_bytes()
    for name in ("hard.tif", "soft.tif", "../in/scene.tif"):
        with pytest.raises(PlanError, match="is the input"):
            upscale(scene, tmp_path / "out" / name, overwrite=True)
    assert scene.read_bytes() == before


def test_what_a_receipt_names_is_replaced_when_asked(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "sr.tif"
    assert upscale(scene, output) is not None
    before = everything(output.parent)
    with pytest.raises(PlanError, match="use --overwrite"):
        upscale(scene, output)
    assert everything(output.parent) == before
    assert upscale(scene, output, overwrite=True) is not None
    assert everything(output.parent).keys() == before.keys()


def test_what_comes_during_the_run_is_not_replaced(scene: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "sr.tif"

    def call(name: str, stage: Callable[[Callable[[int, int], None]], object]) -> object:
        result = stage(lambda done, total: None)
        if name == "validate":
            (output.parent / "sr.png").write_text("mine")
        return result

    with pytest.raises(StoreError, match=r"sr\.png came during the run"):
        run_scene(direct_job(str(scene), output, **OPTIONS), Workers(0), call)
    assert (output.parent / "sr.png").read_text() == "mine"
    assert not output.exists()


@pytest.mark.parametrize(
    "form", ["../in/scene.tif", "./../in/scene.tif", "../out/../in/scene.tif", "link.tif", "folder/scene.tif", "abs"]
)
def test_a_path_in_any_form_is_read_and_is_up_to_date(
    scene: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "out"
    here.mkdir()
    os.symlink(scene, here / "link.tif")
    os.symlink(scene.parent, here / "folder")
    monkeypatch.chdir(here)
    receipt = upscale(scene if form == "abs" else form, Path("sr.tif"))
    assert receipt is not None
    assert [source.path for source in receipt.sources] == [str(scene.resolve())]


def test_a_link_inside_a_source_needs_roots(tmp_path: Path) -> None:
    archive.write_scene(tmp_path / "disk" / "a.tif")
    catalog = archive.write_catalog(tmp_path, model="nearest-x2")
    (tmp_path / "in").mkdir()
    os.symlink(tmp_path / "disk" / "a.tif", tmp_path / "in" / "a.tif")
    [outcome] = run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0)))
    assert outcome.result == "failed"
    assert "outside the folders that may be read" in outcome.message
    catalog = archive.write_catalog(tmp_path, model="nearest-x2", roots="[./disk]")
    [outcome] = run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0)))
    assert outcome.result == "published"


@pytest.mark.parametrize("place", [".out.srcore", ".out.srcore/0123456789abcdef"])
@pytest.mark.parametrize("linked", [True, False])
def test_a_folder_in_place_of_scratch_keeps_what_is_in_it(
    scene: Path, tmp_path: Path, place: str, linked: bool
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years")
    folder = tmp_path / "out" / place
    folder.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        os.symlink(victim, folder)
    else:
        victim.rename(folder)
    if linked and place == ".out.srcore":
        with pytest.raises(StoreError) as caught:
            upscale(scene, tmp_path / "out" / "out.tif")
        assert caught.value.code == "LINK"
    else:
        assert upscale(scene, tmp_path / "out" / "out.tif") is not None
    assert (folder / "thesis.txt").read_text() == "years"
    assert [path.name for path in folder.resolve().iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("place", ["products", "products/s0", ".scratch", ".scratch/s0"])
def test_a_link_in_a_store_is_not_written_through(tmp_path: Path, place: str) -> None:
    archive.write_scene(tmp_path / "in" / "s0.tif")
    catalog = archive.write_catalog(tmp_path, model="nearest-x2")
    victim = tmp_path / "victim"
    (victim / "s0").mkdir(parents=True)
    (victim / "thesis.txt").write_text("years")
    link = tmp_path / "store" / archive.DATASET / place
    link.parent.mkdir(parents=True)
    os.symlink(victim, link)
    before = everything(victim)
    [outcome] = run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0)))
    assert outcome.result == "failed"
    assert outcome.code == "LINK"
    assert everything(victim) == before


def test_a_folder_is_ours_by_the_plan_in_it_and_goes_with_the_plan_last(tmp_path: Path) -> None:
    from srcore.storage.disk.records import write_sealed

    folder = tmp_path / "s0" / "0123456789abcdef"
    write_sealed(folder / PLAN, {"scratch": str(folder)})
    (folder / "tiles.zarr").mkdir()
    assert is_ours(folder)
    other = tmp_path / "s1" / "0123456789abcdef"
    write_sealed(other / PLAN, {"scratch": str(folder)})
    assert not is_ours(other), "the plan of another folder"
    (other / PLAN).write_text(json.dumps({"scratch": str(other)}))
    assert not is_ours(other), "no seal"
    assert not remove_ours(other)
    link = tmp_path / "elsewhere" / "s0" / folder.name
    link.parent.mkdir(parents=True)
    os.symlink(folder, link)
    assert not remove_ours(link), "a link to work of ours, under its name"
    assert sorted(path.name for path in folder.iterdir()) == [PLAN, "tiles.zarr"]
    assert remove_ours(folder)
    assert not folder.exists()
    assert other.exists()


def test_what_lies_beside_a_retraining_stays(tmp_path: Path) -> None:
    from flows.retrain import _sweep
    from srcore.storage.archive.ownership import mark_round

    ended, current, mine, linked = (tmp_path / ".retrain" / name for name in ("ended", "current", "mine", "linked"))
    for folder in (ended, current):
        mark_round(folder)
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    os.symlink(ended, linked)
    _sweep(tmp_path / ".retrain", keep=current)
    assert sorted(path.name for path in (tmp_path / ".retrain").iterdir()) == ["current", "linked", "mine"]
    assert (mine / "thesis.txt").read_text() == "years"


def test_what_a_dead_run_left_hidden_goes_and_what_looks_like_it_stays(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    left = [tmp_path / "out" / f".{name}.0a1b2c3d.part" for name in ("sr.tif", "sr.receipt.json")]
    mine = [tmp_path / "out" / name for name in (".other.tif.0a1b2c3d.part", ".sr.tif.part", ".sr.txt.0a1b2c3d.part")]
    for path in (*left, *mine):
        path.write_text("years")
    assert upscale(scene, tmp_path / "out" / "sr.tif") is not None
    assert [path.exists() for path in (*left, *mine)] == [False, False, True, True, True]


def test_work_waits_a_week_for_a_source_that_is_away(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive.write_scene(tmp_path / "in" / f"{name}.tif")
    catalog = archive.write_catalog(tmp_path, model="nearest-x2")

    def night(until: str = "publish") -> None:
        run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0), until=until))

    night("upscale")
    scratch = tmp_path / "store" / archive.DATASET / ".scratch"
    assert sorted(path.name for path in scratch.iterdir()) == ["a", "b"]
    (tmp_path / "in" / "b.tif").rename(tmp_path / "b.tif")
    night()
    assert [path.name for path in scratch.iterdir()] == ["b"], "its disk may be mounted again tomorrow"
    for path in (scratch / "b", *(scratch / "b").rglob("*")):
        os.utime(path, (path.stat().st_mtime - 8 * 86400,) * 2)
    night()
    assert not (scratch / "b").exists()
