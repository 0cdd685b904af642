"""PLAN: from headers and the checkpoint's spec alone, lay the work out, or refuse it before a pixel is touched."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import psutil

from srcore.catalog.object_stores import on_object_store
from srcore.checkpoints import Spec, builtin_names, locate, read_spec
from srcore.errors import PlanError, StoreError, printable
from srcore.job import Job
from srcore.layout import Scratch
from srcore.stages.needs import disk_bytes, worker_bytes
from srcore.storage.archive.ownership import refuse_links, refuse_strangers, written_files
from srcore.storage.dates.taken import dated
from srcore.storage.dicom.facts import classic_because
from srcore.storage.disk.files import NO_SPACE, free_bytes, store_error
from srcore.storage.disk.real_file import real_file
from srcore.storage.disk.watch import Stamp, changed, stamp, stamp_if_there
from srcore.storage.guides import check_guides
from srcore.storage.header import DROPPED_TEXT, KEPT_IDENTITY, Header
from srcore.storage.product import product_format
from srcore.storage.scene import read_header
from srcore.storage.window import windowed
from srcore.storage.work.scene_plan import FORMAT, ScenePlan
from srcore.tiling import BLOCK_HR, TilePlan, asked_tiles, chosen_tiles, refuse_too_many
from srcore.treatment import Treatment

WORKER_BUDGET_BYTES = 2 * 2**30
"""What a worker may take by default, whatever the machine has: larger cores gain a few percent at most."""

log = logging.getLogger(__name__)


def plan_scene(job: Job, workers: int) -> ScenePlan:
    """The plan of a scene for so many worker processes.

    Nothing is written: `save_plan` does that, when the run holds the scene's lease.

    SourceError, GridError, CheckpointError or PlanError when the scene cannot or should not be done.
    """
    spec = read_spec(job.model.folder)
    job.treatment.check()
    configuration = job.configuration
    if spec.zoom > 1:
        job = replace(job, treatment=job.treatment.with_guides(spec.name))
    treatment = job.treatment.with_trust(spec.trust, spec.name) if "trust" in job.outputs else job.treatment
    if job.hr is not None:
        real_file(job.hr, job.hr_roots)
    # Before and after: else the header of a file that is still arriving would be planned with the stamp of the whole.
    before = [stamp_if_there(path) for path in job.files]
    header = read_header(job.paths, job.kind, **job.wishes)
    if {"stac", "report"} & set(job.outputs):  # else nothing says when it was taken
        header = dated(header, treatment.date)
    header = _in_form(job, header, spec.scale_for(len(header.grid.shape)))  # not hours later
    _check_numbers(job, header)
    _check_output(job, header.paths)
    sources = tuple(stamp(path) for path in header.paths)
    if not set(sources) <= set(before):
        raise changed(job.scene, "while its header was read")
    lanes = max(workers, 1) * job.beside  # without processes this one is the worker
    tiles, of = lay_out(spec, header, job, workers), None
    if job.window is not None:
        of, header = tiles, _part_of(header, job, spec)
        tiles = _within(lay_out(spec, header, job, workers), header)
    refuse_too_many(tiles)
    _check_memory(spec, header, tiles, lanes)
    plan = ScenePlan(
        dataset=job.dataset,
        scene=job.scene,
        header=header,
        sources=sources,
        model=job.model.folder,
        model_digest=spec.digest,
        model_reference=job.model.registered,
        model_version=job.model.version,
        tiles=tiles,
        precision=job.precision,
        device=job.device,
        backend=job.backend,
        product=job.product,
        scratch=Scratch(job.scratch / _key(job, sources, tiles)),
        configuration=configuration,
        validate=job.validate,
        outputs=job.outputs,
        hr=job.hr,
        limits=job.limits,
        treatment=treatment,
        of=of,
        private=job.private,
        pictures=job.pictures,
        before=job.before,
    )
    _check_disk(plan)
    log.info(
        "%s: %d tiles of %s px, halo %s px, %.3f px computed a px; projected %.2f GiB a worker, %.2f GiB on disk",
        job.scene,
        len(tiles),
        _times(tiles.core),
        _times(tiles.halo),
        tiles.redundancy,
        worker_bytes(spec, header, tiles) / 2**30,
        disk_bytes(plan) / 2**30,
    )
    return plan


def _in_form(job: Job, header: Header, scale: Sequence[int]) -> Header:
    """The header with what its product's form means for a user; PlanError BAD_OUTPUT where its name says none."""
    if product_format(job.product.name, header.kind).name != "dicom":
        if job.treatment.identity == "keep":
            found, do = f"a product called {job.product.name}", "name a folder, or leave identity out"
            raise PlanError("only a derived DICOM series can say who the patient is", found, do, code="BAD_SETTING")
        return header
    _check_series(job, header)
    kept = (KEPT_IDENTITY,) if job.treatment.identity == "keep" else ()
    told = tuple(flag for flag in header.flags if not kept or flag != DROPPED_TEXT)
    why = classic_because(header, scale) if header.extra["enhanced"] else ""
    frames = (f"its frames are classic slices in the product: {why}",) if why else ()
    return replace(header, flags=(*told, *kept, *frames))


def _check_series(job: Job, header: Header) -> None:
    if header.format != "dicom":
        found, do = f"a volume in {header.format}", "use a name that ends in .nii.gz or .nii"
        raise PlanError("a DICOM series is derived from a DICOM series alone", found, do, code="BAD_OUTPUT")
    if "trust" in job.outputs:
        do = "leave the trust map out, or use a name that ends in .nii.gz"
        raise PlanError("a trust map is written beside a NIfTI", "a DICOM series", do, code="BAD_OUTPUT")
    inside = next((one for one in job.paths if one.is_dir() and _lies_in(job.product.data, one)), None)
    if inside is not None:  # it would be read as slices of its own source
        found, do = "a folder within its own source", "give a folder beside it"
        raise PlanError(f"{job.product.data} lies in the series that it is made of", found, do, code="BAD_OUTPUT")


def _lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(folder)) in (path, *path.parents)


def _part_of(header: Header, job: Job, spec: Spec) -> Header:
    """The header of the window that a job asks for; PlanError where the part could differ from the whole."""
    if job.precision == "int8":
        do = "take another --precision, or the whole scene"
        raise PlanError("a window cannot be done in int8", "int8 is calibrated on the whole scene", do, code="BAD_PLAN")
    assert job.window is not None, "asked by the caller"
    return windowed(header, job.window, spec.core_multiple)


def _within(tiles: TilePlan, header: Header) -> TilePlan:
    """The tiles of a window, with the scene around them."""
    assert header.part is not None, "of a window"
    return replace(tiles, start=header.part.start, scene=header.part.scene.shape)


def _check_numbers(job: Job, header: Header) -> None:
    """PlanError where the wishes for the numbers cannot be met."""
    copied = [band.name for band in header.bands if band.is_copied]
    if copied and "trust" in job.outputs:
        raise PlanError(
            "a trust map tells of numbers that the generator made",
            f"{', '.join(copied)} never go through it",
            "leave them out of the bands, or the trust map",
            code="NOT_CALIBRATED",
        )
    for band, ends in zip(header.bands, header.ranges, strict=True):
        if ends is not None and ends[0] > ends[1]:
            raise PlanError(
                f"no number of band {band.name} can lie in the valid range",
                f"{header.dtype} from {band.valid_range[0]} to {band.valid_range[1]}",
                "give the range in stored numbers, or leave it out",
                code="BAD_SETTING",
            )


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _instead(spec: Spec, own: Sequence[int], wanted: Sequence[int]) -> str:
    """What to do for another scale: the models that ship and do it, the first by name."""
    does = f"it does {','.join(map(str, own))}: leave --scale out"
    for other in map(read_spec, map(locate, builtin_names())):
        if other.weights_sha256 and other.kind == spec.kind and tuple(other.scale_for(len(wanted))) == tuple(wanted):
            return f"{does}, or take --model {other.name}"
    return f"{does}; no model that ships does {','.join(map(str, wanted))}"


def lay_out(spec: Spec, header: Header, job: Job, workers: int = 0) -> TilePlan:
    """The tile plan of a scene under a generator's spec; PlanError when they do not fit each other, or the memory."""
    shape = header.grid.shape
    own = spec.scale_for(len(shape))
    job.treatment.refuse_other_than_trained(spec.trained_behind, spec.name)
    job.treatment.refuse_without_slices(own, spec.name)
    if job.scale is not None and _on_all_axes(job.scale, len(shape)) != own:
        raise PlanError(
            f"model {spec.name} does not have the scale",
            "x".join(map(str, job.scale)),
            _instead(spec, own, _on_all_axes(job.scale, len(shape))),
        )
    if len(shape) == 3 and any(n == 1 and by > 1 for n, by in zip(shape, own, strict=True)):
        raise PlanError(
            f"model {spec.name} would make several slices of one",
            _times(shape),
            "take a model that does slices one by one, as srcore-x2",
            code="NOT_SUPPORTED",
        )
    tiles = tile_plan(spec, header, job.treatment, job.tile, max(workers, 1) * job.beside, job.block)
    if job.tile is not None:
        _say_if_coarser(tiles, job.tile, job.scene)
    return tiles


def tile_plan(
    spec: Spec,
    header: Header,
    treatment: Treatment,
    tile: int | None = None,
    workers: int = 0,
    block: int = BLOCK_HR,
) -> TilePlan:
    """The tiles of a scene, of cores of `tile` px where somebody asks for that, up to whole blocks of the product.

    The halo is the generator's, and on the generator's own axes what sharpening and back-projection need more.
    """
    shape = header.grid.shape
    own = spec.scale_for(len(shape))
    check_guides(spec, header)
    seen = header.copied.count(False)
    if spec.bands != "any" and seen and spec.bands != seen:
        raise PlanError(f"model {spec.name} takes {spec.bands} bands", f"{seen}", "choose the bands")
    coupled = len(spec.halo)
    halo = spec.halo_around(len(shape), treatment.margin_px)
    multiple = (1,) * (len(shape) - coupled) + (spec.core_multiple,) * coupled
    whole = TilePlan(shape, shape, halo, own, multiple, block, mirrored=spec.zoom > 1 or spec.edge == "repeat")
    if tile is not None:
        return asked_tiles(whole, tile)
    lanes = max(workers, 1)  # without processes this one is the worker
    budget = min(WORKER_BUDGET_BYTES, psutil.virtual_memory().available // lanes)
    return chosen_tiles(whole, lanes, lambda tiles: worker_bytes(spec, header, tiles) <= budget)


def _say_if_coarser(tiles: TilePlan, tile: int, scene: str) -> None:
    """A user asked for a cut, and is told when it is a coarser one."""
    if max(tiles.core) > tile:
        log.warning(
            "%s: tiles of %s px where %d were asked for: up to whole blocks of the product, %d SR px, and of the model",
            scene,
            _times(tiles.core),
            tile,
            tiles.block,
        )


def _on_all_axes(scale: Sequence[int], axes: int) -> tuple[int, ...]:
    """One number means the same on both axes of a slice."""
    return (1,) * (axes - 2) + (scale[0],) * 2 if len(scale) == 1 else tuple(scale)


def _check_output(job: Job, inputs: Sequence[Path]) -> None:
    if printable(str(job.product.data)) != str(job.product.data):
        raise PlanError(
            f"{job.product.data}: an output's name must be UTF-8", "", "give another name", code="BAD_OUTPUT"
        )
    folder = job.product.folder
    if job.private and on_object_store(folder):
        found, do = "a private scene", "use a store that is a folder, where `srcore privacy erase` works"
        raise PlanError("no private scene goes to an object store", found, do, code="NOT_SUPPORTED")
    refuse_links(job.home, folder, job.scratch)
    written = written_files(job.product, job.outputs)
    refuse_strangers(job.product, written, (*job.paths, *inputs), job.scratch, overwrite=job.overwrite)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise PlanError(
            f"output folder {folder} is not writable", "", "give a folder that you may write to", code="NOT_WRITABLE"
        )


def save_plan(plan: ScenePlan) -> None:
    """Put plan.json into the scratch folder, for the workers; PlanError NOT_WRITABLE, StoreError DISK_FULL."""
    try:
        plan.save()
        if plan.private:  # what lies there is a picture of somebody
            plan.scratch.folder.chmod(0o700)
    except StoreError:
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise store_error(plan.scratch.plan, error) from error
        raise PlanError(
            f"output folder {plan.product.folder} cannot be made",
            error.strerror or str(error),
            "give a folder that you may write to",
            code="NOT_WRITABLE",
        ) from error


def _check_memory(spec: Spec, header: Header, tiles: TilePlan, lanes: int) -> None:
    needed = lanes * worker_bytes(spec, header, tiles)
    available = psutil.virtual_memory().available
    if needed > available:
        raise PlanError(
            "the run does not fit in memory",
            f"{needed / 2**30:.1f} GiB projected for {lanes} workers and {available / 2**30:.1f} GiB free",
            "use a smaller --tile, fewer --workers, or fewer scenes at once",
            code="NO_MEMORY",
        )


def _check_disk(plan: ScenePlan) -> None:
    needed, free = disk_bytes(plan), free_bytes(plan.product.folder)
    if needed > free:
        raise PlanError(
            "the run does not fit on the disk",
            f"{needed / 2**30:.1f} GiB projected and {free / 2**30:.1f} GiB free at {plan.product.folder}",
            "free some space or put the store elsewhere",
            code="DISK_FULL",
        )


def _key(job: Job, sources: Sequence[Stamp], tiles: TilePlan) -> str:
    """Names a scratch folder: work of another format, configuration, cut or source never mixes with this one's."""
    # device and backend round differently: tiles of both side by side would show
    cut = [job.device, job.backend, tiles.core, tiles.halo, tiles.block]
    facts = [FORMAT, job.configuration, *cut, [astuple(source) for source in sources]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
