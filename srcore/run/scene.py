"""One scene, from a job to a receipt: the table of contents of a run. Knows no Prefect.

The five stages are called through `call`, so that a terminal can draw a bar and a flow can make a task of each. What
comes behind PLAN is imported as it begins: a refusal, `srcore status` and the first tile wait for nothing that they do
not need (Zarr, torch, STAC, the report).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from srcore.checkpoints import read_spec
from srcore.dispatch import Workers, cluster
from srcore.errors import GateError, PlanError, SRError, in_words
from srcore.job import FORMAT, Job
from srcore.layout import ProductPaths, lease_path
from srcore.progress import Progress, silent
from srcore.run.measured import note_run
from srcore.run.night.slots import gpu_slot
from srcore.run.night.turns import watched
from srcore.stages.plan import plan_scene, save_plan
from srcore.storage.archive.ownership import clear_scratch
from srcore.storage.archive.publish import Receipt, check_verified, publish
from srcore.storage.archive.sweep import sweep_ended, sweep_scene
from srcore.storage.disk.files import store_error
from srcore.storage.disk.leases import Lease, held
from srcore.storage.disk.veil import veiled, without_names
from srcore.storage.disk.watch import changed, hidden_sources, same_sources
from srcore.storage.disk.whose import remember
from srcore.storage.remote.cache import kept_for
from srcore.storage.work.scene_plan import ScenePlan
from srcore.version import __version__

if TYPE_CHECKING:
    from srcore.stages.upscale import Upscaled
    from srcore.stages.validate import Report
    from srcore.storage.work.ingested import Ingested

log = logging.getLogger(__name__)

T = TypeVar("T")
StageCall = Callable[[str, Callable[[Progress], T]], T]
Run = Callable[[Job], Receipt | None]
STAGES = ("plan", "ingest", "upscale", "export", "validate")
BEHIND = ("srcore.stages.export", "srcore.stages.validate", "srcore.report.page")
"""Most of a second of imports, made while the generator computes, which leaves Python's lock alone."""


def plain(_name: str, stage: Callable[[Progress], T]) -> T:
    """Call a stage and say nothing."""
    return stage(silent)


def run_scene(
    job: Job,
    workers: Workers,
    call: StageCall[Any] = plain,
    until: str = "publish",
    start: Callable[[], Workers] | None = None,
) -> Receipt | None:
    """Run the stages of one scene and publish its product; gives the receipt.

    UPSCALE calls `start`, where it is given, for `workers` that are up; without it a small scene starts none unless
    `workers` says how many. With `until` a stage's name the run stops
    behind it, its files stay in the scratch folder, and None is given; a later run goes on from there. GateError when
    a gate stops the product, LeaseError when another run works on the scene; any SRError of a stage.
    """
    stage = _Stages(call, until, job)
    with ExitStack() as holding, suppress(_Reached):
        plan, lease = stage("plan", lambda progress: begin(job, workers.resolved, holding))
        where = workers if start else workers.worth(plan.values * plan.passes)
        ingested: Ingested = stage("ingest", lambda progress: _ingest(plan, progress))
        upscaled: Upscaled = stage("upscale", lambda progress: _upscale(plan, start or (lambda: where), progress))
        same_or_refuse(plan, ingested)  # no export for a source that is another one by now
        verified: dict[str, str] = stage("export", lambda progress: _export(plan, progress))
        try:
            report: Report = stage("validate", lambda progress: _validate(plan, progress))
            receipt = _receipt(plan, ingested, upscaled, report, stage.seconds)
            _write_page(plan, receipt)  # before the gates: what they stop is looked at on this page
            refuse(plan, report, ingested.flags)
        except SRError:
            check_verified(plan.scratch.staged, verified)  # a failing disk is no failing scene
            raise
        verified |= tag(plan, report, verified)
        same_or_refuse(plan, ingested)
        lease.check()  # last: a run that was asleep and taken for dead leaves publishing to its successor
        receipt = publish(plan.product, plan.scratch, receipt, verified)
        note_run(plan, upscaled, sum(stage.seconds.values()), where.resolved)
        clear_scratch(plan.scratch.folder)
        return receipt
    return None


def rehearse(job: Job, workers: Workers, start: Callable[[], Workers] | None = None) -> Report:
    """What VALIDATE says of the product that a job would give: nothing is published, and nothing left.

    Any SRError of a stage; OSError of a failing disk.
    """
    with ExitStack() as holding:
        plan, _ = begin(job, workers.resolved, holding)
        try:
            ingested = _ingest(plan, silent)
            _upscale(plan, start or (lambda: workers), silent)
            same_or_refuse(plan, ingested)
            _export(plan, silent)
            return _validate(plan, silent)
        finally:
            clear_scratch(plan.scratch.folder)


def begin(job: Job, workers: int, holding: ExitStack) -> tuple[ScenePlan, Lease]:
    """Plan a scene for so many worker processes and take its lease, which `holding` gives back.

    What earlier runs left is swept or used.
    """
    if job.private and job.dataset:
        remember(job.scene, job.dataset, job.home, job.paths)
    try:
        with kept_for(holding):
            plan = plan_scene(job, workers)  # before the lease: what is refused leaves no trace
    except PlanError as error:
        if error.code == "OUTPUT_EXISTS":
            sweep_ended(job.scratch, job.product)
        raise
    with ExitStack() as attempt:  # gives the lease back when one of these fails; else the caller does, at the end
        lease = attempt.enter_context(held(lease_path(job.scratch)))
        sweep_scene(job.scratch, job.product, keep=None if job.fresh else plan.scratch.folder.name)
        save_plan(plan)
        holding.enter_context(attempt.pop_all())
    return plan, lease


def same_or_refuse(plan: ScenePlan, ingested: Ingested) -> None:
    """SourceError SOURCE_CHANGED unless the sources are still those that were ingested."""
    if not same_sources(ingested.sources, plan.header.paths):
        raise changed(plan.scene, "during the run")


@contextmanager
def rehearsals(workers: Workers) -> Iterator[Callable[[Job], Report]]:
    """`rehearse` for several jobs, whose workers are started once, when the first tile needs them."""
    with ExitStack() as stack:

        @cache
        def started() -> Workers:
            return stack.enter_context(cluster(workers))

        yield lambda job: rehearse(job, workers, started)


@contextmanager
def scene_runner(workers: Workers, call: StageCall[Any] = plain) -> Iterator[Run]:
    """`run_scene` for several scenes, whose workers are started once, when the first tile needs them.

    Scenes of several threads take turns in UPSCALE: one has all workers, the others are cut, written and validated
    meanwhile.
    """
    turn = threading.Lock()
    with ExitStack() as stack:

        @cache
        def started() -> Workers:
            return stack.enter_context(cluster(workers))

        yield lambda job: run_scene(job, workers, watched(_in_turn(call, job, turn), job), start=started)


def _in_turn(call: StageCall[Any], job: Job, turn: threading.Lock) -> StageCall[Any]:
    """`call`, which waits in front of UPSCALE for its turn, and for a GPU's slot where one may be used."""

    def called(name: str, stage: Callable[[Progress], Any]) -> Any:
        if name != "upscale":
            return call(name, stage)
        with turn, nullcontext() if job.device == "cpu" else gpu_slot():
            return call(name, stage)

    return called


def _ingest(plan: ScenePlan, progress: Progress) -> Ingested:
    from srcore.stages.ingest import ingest

    return ingest(plan, progress)


def _upscale(plan: ScenePlan, start: Callable[[], Workers], progress: Progress) -> Upscaled:
    from srcore.stages.upscale import upscale

    return upscale(plan, start(), progress, lambda: [import_module(name) for name in BEHIND])


def _export(plan: ScenePlan, progress: Progress) -> dict[str, str]:
    from srcore.stages.export import export

    return export(plan, progress)


def _validate(plan: ScenePlan, progress: Progress) -> Report:
    from srcore.stages.validate import validate

    return validate(plan, progress)


def _write_page(plan: ScenePlan, receipt: Receipt) -> None:
    from srcore.report.product import write_page

    write_page(plan, receipt)


def refuse(plan: ScenePlan, report: Report, flags: Sequence[str] = ()) -> None:
    """GateError when a gate of the plan was not passed; `flags` of the pixels may say why."""
    if plan.validate and report.verdict == "quarantined":
        first = report.failed_gates[0]
        value = first.value if isinstance(first.value, str) else f"{first.value:.4g}"
        raise GateError(
            f"{plan.scene} is not published: gate {first.id} was not passed",
            f"{value} {first.unit}, limit {first.limit}",
            "; ".join((first.hint, *flags)),
        )


def tag(plan: ScenePlan, report: Report, verified: Mapping[str, str]) -> dict[str, str]:
    """Say in the staged STAC item what the checks said, so that whoever finds a degraded product knows it.

    Gives the item's name and its sha256; nothing for a product without an item. StoreError when it is no longer what
    EXPORT verified: as JSON it may be read all the same.
    """
    item = ProductPaths(plan.scratch.staged, plan.product.name).stac
    if not item.exists():
        return {}
    from srcore.storage.stac.document import tag_item

    check_verified(plan.scratch.staged, {item.name: verified[item.name]})
    failed = [check.id for check in report.checks if not check.passed]
    facts = {"srcore:verdict": report.verdict, **({"srcore:failed_checks": failed} if failed else {})}
    return {item.name: tag_item(item, facts)}


class _Reached(Exception):  # noqa: N818  an end, not an error
    """The stage that a run should end with is done."""


class _Stages:
    """Calls the stages in turn, keeps their wall time, and stops behind the one that was asked for."""

    def __init__(self, call: StageCall[Any], until: str, job: Job) -> None:
        self.call, self.until, self.job = call, until, job
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, stage: Callable[[Progress], Any]) -> Any:
        result = self.call(name, partial(self._told, name, stage))
        if name == self.until:
            raise _Reached
        return result

    def _told(self, name: str, stage: Callable[[Progress], Any], progress: Progress) -> Any:
        """Call the stage and take its time; errors are put into words here, since Prefect keeps what a stage raises."""
        started = time.monotonic()  # here, not around: a stage may wait for its turn, or be tried again after a pause
        try:
            return stage(progress)
        except Exception as error:
            if (told := self._in_words(name, error)) is error:
                raise
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)
        raise told  # out here: raised where it was caught, it would bring along the one that names files

    def _in_words(self, name: str, error: Exception) -> Exception:
        """The error of a stage: a failing disk in words, wherever it failed; of a private scene without any name."""
        told, telling = error, self.job.telling
        if isinstance(error, SRError):
            error.add_note(f"in stage {name}")
        elif isinstance(error, OSError):
            told = store_error(self.job.product.data, error)
            told.__cause__ = error
        return without_names(in_words(told), telling) if telling else told


def _named(plan: ScenePlan) -> dict[str, str]:
    """What the model was called by, and which version of the registry that meant."""
    if not plan.model_reference:
        return {}
    return {"model_reference": plan.model_reference, "model_version": plan.model_version or "built-in"}


def _window(plan: ScenePlan) -> list[int]:
    """First column and row, columns and rows, in LR pixels of the scene."""
    return [*reversed(plan.tiles.start), *reversed(plan.tiles.shape)]


def _guided(plan: ScenePlan) -> dict[str, Any]:
    """Which bands were brought to the grid of which others, and by how much."""
    header = plan.header
    if not header.guides:
        return {}
    names = {"guided": header.names_of(header.guided), "guides": header.names_of(header.guides)}
    further = {"injected": header.names_of(header.injected)} if header.injected else {}
    return {**names, **further, "zoom": header.zoom}


def _origins(plan: ScenePlan) -> dict[str, Any]:
    """Which files elsewhere the scene was made of, as they came."""
    return {"origins": [asdict(one) for one in plan.header.origins]} if plan.header.origins else {}


def _treated(plan: ScenePlan, ingested: Ingested) -> dict[str, Any]:
    """What was done beside the generator, where anything was."""
    noise = {"noise_dn": [round(band, 6) for band in ingested.noise]} if plan.treatment.denoise else {}
    series = {"series": veiled(plan.treatment.series, 8)} if plan.treatment.series else {}  # a UID tells of a patient
    contrast = None if plan.header.guides else read_spec(plan.model).least_contrast
    seen: dict[str, Any] = (
        {} if contrast is None else {"least_contrast": contrast}
    )  # what its consistency was judged by
    if plan.treatment.is_by_profile and plan.tiles.mirrored:
        seen["edge"] = "repeat"  # what lies beyond the first slice and the last, for who checks it again
    return {"back_projection": plan.treatment.steps, **plan.treatment.changed(), **series, **noise, **seen}


def _receipt(
    plan: ScenePlan, ingested: Ingested, upscaled: Upscaled, report: Report, seconds: dict[str, float]
) -> Receipt:
    tiles = plan.tiles
    return Receipt(
        dataset=plan.dataset,
        scene=plan.scene,
        sources=hidden_sources(ingested.sources) if plan.private else ingested.sources,
        model=read_spec(plan.model).name,
        model_digest=plan.model_digest,
        configuration=plan.configuration,
        parameters={
            "scale": tiles.scale,
            "core": tiles.core,
            "halo": tiles.halo,
            "tiles": len(tiles),
            "redundancy": round(tiles.redundancy, 4),
            "pixels": len(plan.header.bands) * prod(tiles.shape_hr),
            "device": upscaled.device,
            "precision": upscaled.precision,
            "backend": upscaled.backend,
            "rms_dn_of_10000": upscaled.rms_dn,
            **({"window": _window(plan)} if plan.of else {}),
            **_guided(plan),
            **_origins(plan),
            **_treated(plan, ingested),
            **_named(plan),
        },
        checks=report.rows(),
        verdict=report.verdict,
        outputs=(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        computing_s=round(upscaled.computing_s, 3),
        code_version=__version__,
        format=FORMAT,
        flags=(*plan.header.flags, *ingested.flags, *report.warnings),
    )
