"""PLAN: from headers and the checkpoint's spec alone, lay the work out, or refuse it before a pixel is touched."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import psutil

from srcore.checkpoints import Spec, locate, read_spec
from srcore.errors import PlanError, StoreError
from srcore.filters import MAX_DENOISE, MAX_SHARPEN, SHARPEN_PX
from srcore.layout import ProductPaths, Scratch
from srcore.limits import Changes
from srcore.radiometry import BACK_PROJECTION
from srcore.storage.disk.files import NO_SPACE, free_bytes, store_error
from srcore.storage.disk.watch import Stamp, changed, stamp, stamp_if_there
from srcore.storage.header import Header
from srcore.storage.scene import read_header
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import TilePlan, asked_core, choose_core
from srcore.trust import Trust

WORKER_BASE_BYTES = 600 * 2**20
"""Measured: a worker process with torch and the generator loaded, before its first tile."""
WORKER_BUDGET_BYTES = 2 * 2**30
"""What a worker may take by default, whatever the machine has: larger cores gain a few percent at most."""

log = logging.getLogger(__name__)

OUTPUTS = ("cog", "stac", "report", "quicklook")
"""What is made of a scene where nobody says otherwise."""


@dataclass(frozen=True)
class Job:
    """What to super-resolve, with what, to where."""

    paths: tuple[Path, ...]
    product: ProductPaths
    scratch: Path
    """Parent of the scratch folder; must be on the product's file system."""
    scene: str
    kind: Literal["raster", "volume"] = "raster"
    bands: tuple[str, ...] | None = None
    nodata: float | None = None
    model: str = "srcore-x2"
    """A built-in name or a checkpoint folder."""
    reference: str = ""
    """What stood for the model where a registry was asked, as srcore-x2@champion."""
    version: str = ""
    """Which version of the registry that was; '' for a model that ships."""
    scale: tuple[int, ...] | None = None
    """A wish that the model has to meet; None takes the model's own."""
    tile: int | None = None
    """Core in LR pixels; None: from the scene's shape, the memory and the workers."""
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    back_projection: int = BACK_PROJECTION
    """Steps that make the SR, averaged down, give the LR back; 0: the generator's own numbers."""
    denoise: float = 0.0
    """Times the noise that is found in the LR: what is taken out of it; 0: nothing."""
    sharpen: float = 0.0
    """Amount of sharpening of the SR; 0: none."""
    workers: int = 1
    overwrite: bool = False
    validate: bool = True
    dataset: str = ""
    outputs: tuple[str, ...] = OUTPUTS
    """What is made beside the data."""
    roots: tuple[Path, ...] | None = None
    """Folders that the sources must lie in; None where the user names the files."""
    hr: Path | None = None
    fresh: bool = False
    """Start anew: what an earlier run left is not used."""
    limits: Changes = field(default_factory=dict)
    """Changes of the checks' limits."""

    @property
    def configuration(self) -> str:
        """sha256 over all but the sources that decides the product's pixels."""
        spec = read_spec(locate(self.model))
        facts = [
            spec.digest,
            self.kind,
            self.bands,
            self.nodata,
            self.scale,
            self.precision,
            self.outputs,
            self.back_projection,
            self.limits,
        ]
        if "trust" in self.outputs and spec.trust is not None:
            facts.append(spec.trust.model_dump())
        if self.denoise or self.sharpen:
            facts.append(("filters", str(self.denoise), str(self.sharpen)))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def plan_scene(job: Job) -> ScenePlan:
    """The plan of a scene. Nothing is written: `save_plan` does that, when the run holds the scene's lease.

    SourceError, GridError, CheckpointError or PlanError when the scene cannot or should not be done.
    """
    folder = locate(job.model)
    spec = read_spec(folder)
    _check_output(job)
    _check_filters(job)
    before = [stamp_if_there(path) for path in job.paths]
    header = read_header(job.paths, job.kind, job.bands, job.nodata, job.roots)
    sources = tuple(stamp(path) for path in header.paths)
    if not set(sources) <= set(before):
        raise changed(job.scene, "while its header was read")
    tiles = lay_out(spec, header, job)
    _check_memory(spec, header, tiles, job.workers)
    plan = ScenePlan(
        dataset=job.dataset,
        scene=job.scene,
        header=header,
        sources=sources,
        model=folder,
        model_digest=spec.digest,
        model_reference=job.reference,
        model_version=job.version,
        tiles=tiles,
        precision=job.precision,
        device=job.device,
        backend=job.backend,
        product=job.product,
        scratch=Scratch(job.scratch / _key(job, sources, tiles)),
        configuration=job.configuration,
        validate=job.validate,
        outputs=job.outputs,
        hr=job.hr,
        limits=job.limits,
        back_projection=job.back_projection,
        denoise=job.denoise,
        sharpen=job.sharpen,
        trust=_trust(spec, job) if "trust" in job.outputs else None,
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


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _trust(spec: Spec, job: Job) -> Trust:
    """The calibration of the model's trust map; PlanError where it has none, or one for other steps."""
    if spec.trust is None:
        raise PlanError(
            f"model {spec.name} has no calibration for a trust map",
            "no 'trust' in its spec",
            "run `srcore models calibrate`, or leave the trust map out",
            code="NOT_CALIBRATED",
        )
    if job.denoise or job.sharpen:
        raise PlanError(
            f"the trust map of {spec.name} holds without filters",
            f"denoise {job.denoise:g}, sharpen {job.sharpen:g}",
            "leave the filters out, or the trust map",
            code="NOT_CALIBRATED",
        )
    if spec.trust.back_projection != job.back_projection:
        raise PlanError(
            f"the trust map of {spec.name} holds for another back-projection",
            f"{job.back_projection} steps, calibrated with {spec.trust.back_projection}",
            "use the same, or leave the trust map out",
            code="NOT_CALIBRATED",
        )
    return spec.trust


def _check_filters(job: Job) -> None:
    for name, amount, most in (("denoise", job.denoise, MAX_DENOISE), ("sharpen", job.sharpen, MAX_SHARPEN)):
        if not 0 <= amount <= most:
            raise PlanError(f"{name} is out of range", f"{amount:g}", f"give a number from 0 to {most:g}")


def lay_out(spec: Spec, header: Header, job: Job) -> TilePlan:
    """The tile plan of a scene under a generator's spec; PlanError when they do not fit each other, or the memory.

    The halo is the generator's, and on the generator's own axes what sharpening and back-projection need more.
    """
    shape = header.grid.shape
    own = spec.scale_for(len(shape))
    if job.scale is not None and _spread(job.scale, len(shape)) != own:
        raise PlanError(
            f"model {spec.name} does not have the scale",
            "x".join(map(str, job.scale)),
            f"it does {','.join(map(str, own))}: leave --scale out or take another model",
        )
    if spec.bands != "any" and spec.bands != len(header.bands):
        raise PlanError(f"model {spec.name} takes {spec.bands} bands", f"{len(header.bands)}", "choose the bands")
    coupled = len(spec.halo)
    own_halo = spec.halo_for(len(shape))
    margin = spec.margin_for(job.back_projection + (SHARPEN_PX if job.sharpen else 0))
    halo = (*own_halo[:-coupled], *(h + margin for h in own_halo[-coupled:]))
    multiple = (1,) * (len(shape) - coupled) + (spec.core_multiple,) * coupled
    if job.tile is not None:
        return TilePlan(shape, asked_core(shape, halo, own, job.tile, spec.core_multiple), halo, own, multiple)
    lanes = max(job.workers, 1)
    budget = min(WORKER_BUDGET_BYTES, psutil.virtual_memory().available // lanes)

    def fits(core: tuple[int, ...]) -> bool:
        return worker_bytes(spec, header, TilePlan(shape, core, halo, own, multiple)) <= budget

    core = choose_core(shape, halo, own, lanes, fits, spec.core_multiple)
    return TilePlan(shape, core, halo, own, multiple)


def _spread(scale: Sequence[int], axes: int) -> tuple[int, ...]:
    """One number means the same on both axes of a slice."""
    return (1,) * (axes - 2) + (scale[0],) * 2 if len(scale) == 1 else tuple(scale)


def _check_output(job: Job) -> None:
    folder = job.product.folder
    if job.product.data.resolve() in {path.resolve() for path in job.paths}:
        raise PlanError(f"{job.product.data} is the input", "", "give another output", code="BAD_OUTPUT")
    if job.product.data.exists() and not job.overwrite and not _is_interrupted(job):
        raise PlanError(f"{job.product.data} exists", "", "use --overwrite or another name", code="OUTPUT_EXISTS")
    if job.product.data.is_dir():
        raise PlanError(f"{job.product.data} is a folder", "", "give a file name", code="BAD_OUTPUT")
    expected = (".nii", ".nii.gz") if job.kind == "volume" else (".tif", ".tiff")
    if not job.product.name.endswith(expected):
        raise PlanError(
            f"a {job.kind} cannot be written to {job.product.name}",
            "",
            f"use a name that ends in {' or '.join(expected)}",
            code="BAD_OUTPUT",
        )
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise PlanError(
            f"output folder {folder} is not writable", "", "give a folder that you may write to", code="NOT_WRITABLE"
        )


def _is_interrupted(job: Job) -> bool:
    """True when what stands under the product's name is our own, from a run that ended while it published."""
    return not job.product.receipt.exists() and any(job.scratch.glob("*/publishing.json"))


def save_plan(plan: ScenePlan) -> None:
    """Put plan.json into the scratch folder, for the workers; PlanError NOT_WRITABLE, StoreError DISK_FULL."""
    try:
        plan.save()
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


def _check_memory(spec: Spec, header: Header, tiles: TilePlan, workers: int) -> None:
    needed = max(workers, 1) * worker_bytes(spec, header, tiles)
    available = psutil.virtual_memory().available
    if needed > available:
        raise PlanError(
            "the run does not fit in memory",
            f"{needed / 2**30:.1f} GiB projected for {max(workers, 1)} workers and {available / 2**30:.1f} GiB free",
            "use a smaller --tile or fewer --workers",
            code="TOO_LARGE",
        )


def worker_bytes(spec: Spec, header: Header, tiles: TilePlan) -> int:
    """Projected peak of one worker: its base, the activations of one pass, and a tile in all its forms."""
    tile_px, pass_px = prod(tiles.tile_shape), prod(tiles.tile_shape[-len(spec.halo) :])
    native = np.dtype(header.dtype).itemsize
    forms_lr, forms_hr = native + 4 + 8, 2 * native + 4 + 8 + 8  # as stored, as float32, as float64
    block = len(header.bands) * (tile_px * forms_lr + prod(tiles.core_hr) * forms_hr)
    return WORKER_BASE_BYTES + spec.activation_bytes_px * pass_px + block


def _check_disk(plan: ScenePlan) -> None:
    needed, free = disk_bytes(plan), free_bytes(plan.product.folder)
    if needed > free:
        raise PlanError(
            "the run does not fit on the disk",
            f"{needed / 2**30:.1f} GiB projected and {free / 2**30:.1f} GiB free at {plan.product.folder}",
            "free some space or put the store elsewhere",
            code="DISK_FULL",
        )


def disk_bytes(plan: ScenePlan) -> int:
    """Projected bytes of scratch and product together, as if nothing compressed."""
    tiles, bands = plan.tiles, len(plan.header.bands)
    native = np.dtype(plan.header.dtype).itemsize
    scratch = bands * (len(tiles) * prod(tiles.tile_shape) * native + prod(tiles.shape_hr) * native)
    scratch += bands * prod(tiles.shape)  # valid
    if plan.trust is not None:
        native += 4
        scratch += bands * prod(tiles.shape_hr) * 4
    return scratch + int(2 * 4 / 3 * bands * prod(tiles.shape_hr) * native)  # the GeoTIFF with overviews, twice


def _key(job: Job, sources: Sequence[Stamp], tiles: TilePlan) -> str:
    """Names a scratch folder: work of another configuration, cut or source never mixes with this one's."""
    cut = [job.device, job.backend, tiles.core, tiles.halo]
    facts = [job.configuration, *cut, [astuple(source) for source in sources]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
