"""PLAN: what is laid out from headers alone, and what is refused before a pixel is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest

from srcore.checkpoints import Spec, read_spec
from srcore.dispatch import Workers
from srcore.errors import PlanError, SourceError, SRError
from srcore.filters import SHARPEN_PX
from srcore.job import OUTPUTS, Job
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages import plan as stage
from srcore.stages.needs import WORKER_BASE_BYTES, disk_bytes, worker_bytes
from srcore.stages.plan import lay_out, plan_scene, save_plan
from srcore.storage.scene import read_header
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import BLOCK_HR

CORE = BLOCK_HR // 2
"""LR pixels of a block at scale 2: a core that may be asked for as it is."""
NO_MEMORY = "NO_MEMORY"
"""The code of a run that this machine cannot hold tonight."""


@pytest.fixture
def source(write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]) -> Path:
    """A raster of two bands and, with cores of CORE, six tiles."""
    return write_raster(landscape(2, (CORE + 40, 2 * CORE + 9)))


@pytest.fixture
def wide(write_raster: Callable[..., Path]) -> Path:
    """A raster that is worth dividing among workers."""
    return write_raster(np.zeros((1, 1100, 1100), "uint8"), "wide.tif", compress="deflate")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    data = np.random.default_rng(0).integers(1, 500, (41, 37, 19)).astype("int16")
    nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 2.0, 1.0])).to_filename(tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


def job_of(source: Path, name: str = "sr.tif", **options: Any) -> Job:
    return direct_job(str(source), source.parent / "out" / name, **{"model": "bicubic-x2", **options})


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_planning_writes_nothing_and_reads_no_pixel(
    tmp_path: Path, write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    source = write_raster(landscape(), compress="deflate")
    data = source.read_bytes()
    third = len(data) // 3
    source.write_bytes(data[:third] + bytes(third) + data[2 * third :])  # the middle of the compressed pixels is gone
    before = files(tmp_path)
    plan = plan_scene(job_of(source), 2)
    assert files(tmp_path) == before
    with pytest.raises(SourceError):
        run_scene(job_of(source), Workers(0), until="ingest")
    assert plan.header.grid.shape == plan.tiles.shape == (61, 83)


def test_a_plan_comes_back_as_it_was_saved(source: Path) -> None:
    plan = plan_scene(job_of(source, tile=CORE, denoise=0.5, limits={"values.mean": {"warn": None}}), 1)
    save_plan(plan)
    assert ScenePlan.load(plan.scratch.plan) == plan


# What is laid out.


@pytest.mark.parametrize("model", ["nearest-x2", "bicubic-x2", "srcore-x2"])
@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("sharpen", [0.0, 0.1])
def test_the_halo_is_the_generators_and_what_follows_it(source: Path, model: str, steps: int, sharpen: float) -> None:
    job = job_of(source, model=model, back_projection=steps, sharpen=sharpen)
    own = read_spec(job.model.folder).halo
    margin = steps + (SHARPEN_PX if sharpen else 0)
    assert plan_scene(job, 1).tiles.halo == tuple(halo + margin for halo in own)


@pytest.mark.parametrize(
    ("model", "halo", "scale"),
    [("bicubic-x2", (0, 3, 3), (1, 2, 2)), ("srcore-volume-x2", (10, 10, 10), (2, 2, 2))],
)
def test_a_volume_has_a_halo_on_the_axes_that_the_generator_sees_together(
    volume: Path, model: str, halo: tuple[int, ...], scale: tuple[int, ...]
) -> None:
    tiles = plan_scene(job_of(volume, "sr.nii.gz", model=model), 1).tiles
    assert (tiles.shape, tiles.halo, tiles.scale) == ((19, 37, 41), halo, scale)


@pytest.mark.parametrize("multiple", [1, 4, 8, 24])
@pytest.mark.parametrize("tile", [None, CORE, CORE + 1])
def test_cores_and_margins_keep_the_generators_grid(source: Path, multiple: int, tile: int | None) -> None:
    job = job_of(source, tile=tile)
    spec = read_spec(job.model.folder).model_copy(update={"core_multiple": multiple, "halo": (33, 33)})
    tiles = lay_out(spec, read_header(job.paths), job, 2)
    assert all(core % multiple == 0 for core in tiles.core)
    assert all((halo - 33) % multiple == 0 and halo > 33 for halo in tiles.halo)
    assert sum(np.prod([w.stop - w.start for w in each.core]) for each in tiles) == np.prod(tiles.shape)


def test_a_wish_for_the_tile_is_met(source: Path) -> None:
    tiles = plan_scene(job_of(source, tile=CORE), 1).tiles
    assert (tiles.core, len(tiles)) == ((CORE, CORE), 6)


def test_the_workers_count_decides_the_cut_and_nothing_else(wide: Path) -> None:
    plans = {workers: plan_scene(job_of(wide, model="srcore-x2"), workers) for workers in (0, 1, 2)}
    assert plans[0] == plans[1]  # this process is one worker
    assert plans[1].tiles.core == (1024, 1024)
    assert plans[2].tiles.core == (768, 768)  # of 1024, one of two workers would do 5/6 of the scene
    assert plans[1].configuration == plans[2].configuration
    assert replace(plans[1], tiles=plans[2].tiles, scratch=plans[2].scratch) == plans[2]


# Where the work lies.


@pytest.mark.parametrize(
    "change",
    [
        {"tile": CORE},
        {"device": "cpu"},
        {"backend": "eager"},
        {"precision": "float32"},
        {"model": "nearest-x2"},
        {"bands": ("2",)},
        {"denoise": 0.5},
        {"outputs": ("cog",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_work_that_another_run_could_not_use_lies_elsewhere(source: Path, change: dict[str, Any]) -> None:
    assert plan_scene(job_of(source), 1).scratch != plan_scene(job_of(source, **change), 1).scratch


@pytest.mark.parametrize("change", [{"overwrite": True}, {"validate": False}, {"fresh": True}], ids=str)
def test_what_changes_no_pixel_lets_work_go_on(source: Path, change: dict[str, Any]) -> None:
    assert plan_scene(job_of(source), 1).scratch == plan_scene(job_of(source, **change), 1).scratch


def test_a_source_with_another_time_is_other_work(source: Path) -> None:
    before = plan_scene(job_of(source), 1)
    os.utime(source, ns=(1, 1))
    after = plan_scene(job_of(source), 1)
    assert before.scratch != after.scratch
    assert before.configuration == after.configuration


# Memory and disk.


def test_the_core_keeps_to_a_workers_budget(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(wide, model="srcore-x2")
    spec = read_spec(job.model.folder)
    cores = []
    for budget in (2048, 1200, 900, 760):
        monkeypatch.setattr(stage, "WORKER_BUDGET_BYTES", budget << 20)
        plan = plan_scene(job, 1)
        assert worker_bytes(spec, plan.header, plan.tiles) <= budget << 20
        cores.append(np.prod(plan.tiles.core))
    assert cores == sorted(cores, reverse=True)
    assert len(set(cores)) > 1
    monkeypatch.setattr(stage, "WORKER_BUDGET_BYTES", WORKER_BASE_BYTES)
    refused(job, NO_MEMORY, "not even the smallest tile", retryable=True)


def test_so_many_workers_as_the_memory_holds(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(source, tile=CORE)
    plan = plan_scene(job, 1)
    one = worker_bytes(read_spec(job.model.folder), plan.header, plan.tiles)
    assert one > WORKER_BASE_BYTES
    monkeypatch.setattr(stage.psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * one))
    assert plan_scene(job, 3).tiles == plan.tiles
    refused(job, NO_MEMORY, "4 workers", workers=4, retryable=True)


def test_memory_counts_what_a_tile_is_made_of(wide: Path) -> None:
    job = job_of(wide, model="srcore-x2")
    spec, header = read_spec(job.model.folder), read_header([wide])
    tiles = lay_out(spec, header, replace(job, tile=CORE), 1)
    larger = lay_out(spec, header, replace(job, tile=2 * CORE), 1)
    more_bands = replace(header, bands=header.bands * 3)
    assert worker_bytes(spec, header, tiles) < worker_bytes(spec, header, larger)
    assert worker_bytes(spec, header, tiles) < worker_bytes(spec, replace(header, dtype="float64"), tiles)
    assert worker_bytes(spec, header, tiles) < worker_bytes(spec, more_bands, tiles)
    lean, [band, *_] = spec.model_copy(update={"activation_bytes_px": 1}), header.bands
    guided, injected = replace(band, zoom=2, guided=True), replace(band, zoom=6, injected=True)
    near, far = (replace(header, bands=(guided, other)) for other in (guided, injected))
    assert worker_bytes(lean, far, tiles) > worker_bytes(lean, near, tiles)  # INGEST holds what UPSCALE does not
    assert worker_bytes(spec, far, tiles) == worker_bytes(spec, near, tiles)  # one after the other, in one process
    greedy = spec.model_copy(update={"activation_bytes_px": 2 * spec.activation_bytes_px})
    assert worker_bytes(spec, header, tiles) < worker_bytes(greedy, header, tiles)


def test_a_byte_too_few_on_the_disk_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(source)
    needed = disk_bytes(plan_scene(job, 1))
    monkeypatch.setattr(stage, "free_bytes", lambda _: needed)
    assert disk_bytes(plan_scene(job, 1)) == needed
    monkeypatch.setattr(stage, "free_bytes", lambda _: needed - 1)
    refused(job, "DISK_FULL", "does not fit on the disk", retryable=True)


def test_a_run_takes_no_more_of_the_disk_than_was_projected(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    noise = np.random.default_rng(0).integers(1, 65535, (1, CORE + 40, 2 * CORE + 9), dtype="uint16")
    job = job_of(write_raster(noise), tile=CORE, model="nearest-x2")
    run_scene(job, Workers(0), until="export")
    taken = sum(path.stat().st_size for path in files(tmp_path / "out") if path.is_file())
    assert noise.nbytes * 4 < taken <= disk_bytes(plan_scene(job, 0))


# Refusals.


def refused(
    job: Job, code: str, match: str, *, workers: int = 1, retryable: bool = False, kind: type[SRError] = PlanError
) -> None:
    """The job is refused in one line, under its code, and nothing is left where it would have worked."""
    before = files(job.product.folder)
    with pytest.raises(kind, match=match) as caught:
        plan_scene(job, workers)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert "\n" not in str(caught.value)
    assert files(job.product.folder) == before


@pytest.mark.parametrize("name", ["sr.nii.gz", "sr.nii", "sr.png", "sr", "sr.tif.gz"])
def test_a_raster_is_not_written_under_such_a_name(source: Path, name: str) -> None:
    refused(job_of(source, name), "BAD_OUTPUT", r"use a name that ends in \.tif or \.tiff")


@pytest.mark.parametrize("name", ["sr.tif", "sr.gz", "sr"])
def test_a_volume_is_not_written_under_such_a_name(volume: Path, name: str) -> None:
    refused(job_of(volume, name), "BAD_OUTPUT", r"use a name that ends in \.nii\.gz or \.nii")


@pytest.mark.parametrize("name", ["sr.tif", "sr.tiff"])
def test_a_raster_is_written_under_its_formats_names(source: Path, name: str) -> None:
    assert plan_scene(job_of(source, name), 1).product.name == name


def test_no_output_that_is_there_already_or_cannot_be(source: Path, tmp_path: Path) -> None:
    refused(direct_job(str(source), source, model="bicubic-x2", overwrite=True), "BAD_OUTPUT", "is the input")
    link = tmp_path / "link.tif"
    link.symlink_to(source)
    refused(direct_job(str(source), link, model="bicubic-x2", overwrite=True), "BAD_OUTPUT", "is the input")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/there.tif").write_text("somebody's")
    refused(job_of(source, "there.tif"), "OUTPUT_EXISTS", "no receipt of srcore names it")
    refused(job_of(source, "there.tif", overwrite=True), "OUTPUT_EXISTS", "move it, or use another name")
    (tmp_path / "out/folder.tif").mkdir()
    refused(job_of(source, "folder.tif", overwrite=True), "BAD_OUTPUT", "is a folder")
    beneath = direct_job(str(source), tmp_path / "out/there.tif/sr.tif", model="bicubic-x2")
    refused(beneath, "NOT_WRITABLE", "is not writable", retryable=True)


def test_a_model_that_does_not_fit_the_scene_is_refused(source: Path, volume: Path) -> None:
    refused(job_of(source, scale=(3,)), "BAD_PLAN", "it does 2,2")
    refused(job_of(volume, "sr.nii.gz", scale=(2, 2, 2)), "BAD_PLAN", "it does 1,2,2")
    assert plan_scene(job_of(volume, "sr.nii.gz", scale=(2,)), 1).tiles.scale == (1, 2, 2)  # both axes of a slice
    refused(job_of(source, model="srcore-volume-x2"), "BAD_CHECKPOINT", "3 axes and a scene of 2", kind=SRError)
    refused(job_of(source, outputs=(*OUTPUTS, "trust")), "NOT_CALIBRATED", "no calibration")
    of_three: Spec = read_spec(job_of(source).model.folder).model_copy(update={"bands": 3})
    with pytest.raises(PlanError, match="takes 3 bands; found 2"):
        lay_out(of_three, read_header([source]), job_of(source), 1)


def test_a_scene_of_the_other_kind_is_refused(source: Path, volume: Path) -> None:
    wrong = [(replace(job_of(source), kind="volume"), "no volume; found a raster")]
    wrong.append((replace(job_of(volume, "sr.nii.gz"), kind="raster"), "no raster"))
    for job, match in wrong:
        refused(job, "WRONG_KIND", match, kind=SourceError, retryable=True)


@pytest.mark.parametrize("change", ["grows", "touched", "replaced"])
def test_a_source_that_changes_while_its_header_is_read_is_refused(
    source: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*args: Any, **wishes: Any) -> Any:
        header = read_header(*args, **wishes)
        if change == "grows":
            with source.open("ab") as file:
                file.write(b"more")
        elif change == "touched":
            os.utime(source, ns=(1, 1))
        else:
            other = source.with_name("other")
            other.write_bytes(source.read_bytes()[::-1])
            other.replace(source)
        return header

    monkeypatch.setattr(stage, "read_header", meanwhile)
    refused(job_of(source), "SOURCE_CHANGED", "while its header was read", retryable=True, kind=SourceError)


def test_a_plan_that_cannot_be_saved_says_where(source: Path) -> None:
    plan = plan_scene(job_of(source), 1)
    plan.scratch.folder.parent.parent.mkdir(parents=True)
    plan.scratch.folder.parent.write_text("in the way")
    with pytest.raises(PlanError) as caught:
        save_plan(plan)
    assert (caught.value.code, caught.value.retryable) == ("NOT_WRITABLE", True)


def test_a_true_hr_lies_in_its_folder(tmp_path: Path, source: Path) -> None:
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "a.tif").symlink_to(source)
    job = replace(job_of(source), hr=tmp_path / "hr" / "a.tif")
    assert plan_scene(job, 1).hr == tmp_path / "hr" / "a.tif"
    with pytest.raises(SourceError, match="lies outside the folders that may be read") as told:
        plan_scene(replace(job, hr_roots=(tmp_path / "hr",)), 1)
    assert told.value.code == "OUTSIDE"


def test_a_model_that_was_trained_behind_back_projection_gets_as_much(source: Path) -> None:
    """Alone it is too sharp, for it makes up for the step that follows."""
    for steps in (0, 2):
        with pytest.raises(PlanError, match=rf"{steps} steps asked for, trained behind 1") as caught:
            plan_scene(job_of(source, model="srcore-x2-sensor", back_projection=steps), 0)
        assert caught.value.code == "BAD_SETTING"
    assert plan_scene(job_of(source, model="srcore-x2-sensor"), 0).treatment.steps == 1
