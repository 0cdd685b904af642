"""One scene, from a job to a receipt, and the scenes of a dataset that are due. Knows no Prefect.

The five stages are called through `call`, so that a terminal can draw a bar and a flow can make a task of each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from srcore import __version__
from srcore.catalog import Catalog, load_catalog
from srcore.checkpoints import read_spec
from srcore.dispatch import Workers, cluster
from srcore.errors import CatalogError, GateError, LeaseError, PlanError, SRError, StoreError
from srcore.layout import DatasetPaths, ProductPaths, lease_path
from srcore.report.index import is_stale, write_index
from srcore.report.product import keep_page, write_page
from srcore.stages.export import export
from srcore.stages.ingest import ingest
from srcore.stages.plan import Job, plan_scene, save_plan
from srcore.stages.upscale import Upscaled, upscale
from srcore.storage.files import store_error
from srcore.storage.leases import Lease, held, holder, is_alive
from srcore.storage.publish import Receipt, check_verified, clear_scratch, is_whole, publish
from srcore.storage.quarantine import Quarantine, listening, quarantine
from srcore.storage.scratch import Ingested, ScenePlan
from srcore.storage.sources import Scene, find_hr, find_scenes
from srcore.storage.stac import tag_item
from srcore.storage.sweep import sweep_dataset, sweep_done, sweep_scene
from srcore.storage.watch import changed, same_sources

if TYPE_CHECKING:
    from srcore.stages.validate import Report

log = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[int, int], None]
StageCall = Callable[[str, Callable[[Progress], T]], T]
Run = Callable[[Job], Receipt | None]
STAGES = ("plan", "ingest", "upscale", "export", "validate")


def plain(_name: str, stage: Callable[[Progress], T]) -> T:
    """Call a stage and say nothing."""
    return stage(lambda done, total: None)


def run_scene(
    job: Job, workers: Workers | Callable[[], Workers], call: StageCall[Any] = plain, until: str = "publish"
) -> Receipt | None:
    """Run the stages of one scene and publish its product; gives the receipt. UPSCALE asks for `workers` as it starts.

    With `until` a stage's name the run stops behind it, its files stay in the scratch folder, and None is
    given; a later run goes on from there. GateError when a gate stops the product, LeaseError when another run
    works on the scene; any SRError of a stage.
    """
    stage = _Stages(call, until, job.product.data)
    with ExitStack() as holding, suppress(_Reached):
        plan, lease = stage("plan", lambda progress: begin(job, holding))
        ingested: Ingested = stage("ingest", lambda progress: ingest(plan, progress))
        upscaled: Upscaled = stage(
            "upscale", lambda progress: upscale(plan, workers() if callable(workers) else workers, progress)
        )
        same_or_refuse(plan, ingested)
        verified: dict[str, str] = stage("export", lambda progress: export(plan, progress))
        try:
            report: Report = stage("validate", lambda progress: _validate(plan, progress))
            receipt = _receipt(plan, ingested, upscaled, report, stage.seconds)
            write_page(plan, receipt)
            refuse(plan, report)
        except SRError:
            check_verified(plan.scratch.staged, verified)  # a failing disk is no failing scene
            raise
        verified |= tag(plan, report)
        same_or_refuse(plan, ingested)
        lease.check()
        receipt = publish(plan.product, plan.scratch, receipt, verified)
        clear_scratch(plan.scratch.folder)
        return receipt
    return None


def begin(job: Job, holding: ExitStack) -> tuple[ScenePlan, Lease]:
    """Plan a scene and take its lease, which `holding` gives back; what earlier runs left is swept or used."""
    try:
        plan = plan_scene(job)
    except PlanError as error:
        if error.code == "OUTPUT_EXISTS" and any(job.scratch.glob("*/publishing.json")):
            sweep_done(job.scratch, job.product)  # a run published it, and ended before it cleared up
        raise
    with ExitStack() as attempt:
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
def scene_runner(workers: Workers, call: StageCall[Any] = plain) -> Iterator[Run]:
    """`run_scene` for several scenes, whose workers are started once, when the first tile needs them."""
    with ExitStack() as stack:

        @cache
        def started() -> Workers:
            return stack.enter_context(cluster(workers))

        yield lambda job: run_scene(job, started, call)


def _validate(plan: ScenePlan, progress: Progress) -> Report:
    # VALIDATE needs torch, which costs seconds to import: only those who get here pay.
    from srcore.stages.validate import validate

    return validate(plan, progress)


def refuse(plan: ScenePlan, report: Report) -> None:
    """GateError when a gate of the plan was not passed."""
    if plan.validate and report.verdict == "quarantined":
        first = report.failed_gates[0]
        raise GateError(f"{plan.scene} is not published: gate {first.id} was not passed",
                        f"{first.value} {first.unit}, limit {first.limit}", first.hint)  # fmt: skip


def tag(plan: ScenePlan, report: Report) -> dict[str, str]:
    """Say in the staged STAC item what the checks said, so that whoever finds a degraded product knows it.

    Gives the item's name and its sha256; nothing for a product without an item.
    """
    item = ProductPaths(plan.scratch.staged, plan.product.name).stac
    if not item.exists():
        return {}
    failed = [check.id for check in report.checks if not check.passed]
    facts = {"srcore:verdict": report.verdict, **({"srcore:failed_checks": failed} if failed else {})}
    return {item.name: tag_item(item, facts)}


class _Reached(Exception):  # noqa: N818  an end, not an error
    """The stage that a run should end with is done."""


class _Stages:
    """Calls the stages in turn, keeps their wall time, and stops behind the one that was asked for."""

    def __init__(self, call: StageCall[Any], until: str, product: Path) -> None:
        self.call, self.until, self.product = call, until, product
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, stage: Callable[[Progress], Any]) -> Any:
        started = time.monotonic()
        result = self.call(name, partial(self._told, name, stage))
        self.seconds[name] = round(time.monotonic() - started, 3)
        if name == self.until:
            raise _Reached
        return result

    def _told(self, name: str, stage: Callable[[Progress], Any], progress: Progress) -> Any:
        """Call the stage; a failing disk is told in words, too, wherever it failed."""
        try:
            return stage(progress)
        except SRError as error:
            error.add_note(f"in stage {name}")
            raise
        except OSError as error:
            raise store_error(self.product, error) from error


def _receipt(
    plan: ScenePlan, ingested: Ingested, upscaled: Upscaled, report: Report, seconds: dict[str, float]
) -> Receipt:
    tiles = plan.tiles
    return Receipt(
        dataset=plan.dataset,
        scene=plan.scene,
        sources=ingested.sources,
        model=read_spec(plan.model).name,
        model_digest=plan.model_digest,
        configuration=plan.configuration,
        parameters={
            "scale": tiles.scale, "core": tiles.core, "halo": tiles.halo, "tiles": len(tiles),
            "redundancy": round(tiles.redundancy, 4), "device": upscaled.device, "precision": upscaled.precision,
            "back_projection": plan.back_projection,
        },
        checks=[asdict(check) for check in report.checks],
        verdict=report.verdict,
        outputs=(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        code_version=__version__,
    )  # fmt: skip


State = Literal["new", "changed", "running", "published", "quarantined"]


@dataclass(frozen=True)
class SceneState:
    """Where a scene of the catalog stands, and the job that would do it."""

    scene: str
    state: State
    job: Job
    reason: str = ""
    """Why it is due, or why it was quarantined."""

    retry: bool = False
    """In quarantine for something that can pass by itself."""

    @property
    def due(self) -> bool:
        """True when a run has something to do, or should at least say who does it."""
        return self.state in ("new", "changed", "running") or self.retry


def scene_states(catalog: Catalog, dataset: str) -> list[SceneState]:
    """The state of every scene of a dataset; CatalogError for an unknown dataset or an unusable source."""
    entry = catalog.dataset(dataset)
    hr = find_hr(entry, catalog.base)
    return [
        _state(catalog, dataset, scene_job(catalog, dataset, scene, hr.get(scene.id)))
        for scene in find_scenes(entry, catalog.base)
    ]


def scene_job(catalog: Catalog, name: str, scene: Scene, hr: Path | None = None) -> Job:
    """The job of one scene of the catalog."""
    dataset = catalog.dataset(name)
    places = DatasetPaths(Path(catalog.store) / name)
    return Job(
        paths=scene.paths,
        product=places.product(scene.id, ".tif" if dataset.kind == "raster" else ".nii.gz"),
        scratch=places.scratch(scene.id),
        scene=scene.id,
        kind=dataset.kind,
        bands=scene.bands,
        nodata=dataset.nodata,
        model=dataset.model,
        tile=None if dataset.tile == "auto" else dataset.tile,
        back_projection=dataset.back_projection,
        limits={name: change.model_dump(exclude_unset=True) for name, change in dataset.checks.items()},
        overwrite=True,  # a product of the store is replaced when its scene is due
        dataset=name,
        outputs=dataset.outputs,
        roots=(scene.root,),
        hr=hr,
    )


def _state(catalog: Catalog, dataset: str, job: Job) -> SceneState:
    places = DatasetPaths(Path(catalog.store) / dataset)
    lease = lease_path(job.scratch)
    if (owner := holder(lease)) is not None and is_alive(lease, owner):
        return SceneState(job.scene, "running", job, str(owner))
    try:
        receipt, damaged = Receipt.load(job.product.receipt), ""
    except StoreError as error:
        receipt, damaged = None, str(error)
    if receipt is not None and is_whole(job.product, receipt):
        if receipt.configuration != job.configuration:
            reason = "the model or the configuration changed"
        elif not same_sources(receipt.sources, job.paths):
            reason = "the source changed"
        else:
            return SceneState(job.scene, "published", job, receipt.verdict)
        return _failed_before(places, job) or SceneState(job.scene, "changed", job, reason)
    reason = damaged or ("product damaged" if receipt else "")
    return _failed_before(places, job) or SceneState(job.scene, "new", job, reason)


def _failed_before(places: DatasetPaths, job: Job) -> SceneState | None:
    record = Quarantine.load(places.quarantine(job.scene))
    if record is None:
        return None
    if not record.applies(job.paths, job.configuration):
        return SceneState(job.scene, "changed", job, f"tried before: {record.code}")
    times = f" ({record.attempts} attempts)" if record.attempts > 1 else ""
    return SceneState(job.scene, "quarantined", job, f"{record.code}: {record.message}{times}", record.retryable)


Result = Literal["published", "degraded", "up to date", "quarantined", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one scene in a run."""

    scene: str
    result: Result
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    receipt: Receipt | None = None

    @property
    def ok(self) -> bool:
        """False when the scene has no product now."""
        return self.result in ("published", "degraded", "up to date")


def run_due(catalog: Catalog, state: SceneState, run: Run, *, force: bool = False) -> Outcome:
    """Do one scene if it is due; never raises because of the scene, what went wrong is in the outcome."""
    record = DatasetPaths(Path(catalog.store) / state.job.dataset).quarantine(state.scene)
    if not force and not state.due:
        if state.state == "published":
            sweep_done(state.job.scratch, state.job.product)
            record.unlink(missing_ok=True)
            return Outcome(state.scene, "up to date")
        code, _, message = state.reason.partition(": ")
        return Outcome(state.scene, "quarantined", code, message)
    started = time.monotonic()
    with listening() as log:
        try:
            receipt = run(replace(state.job, fresh=force))
        except Exception as error:  # whatever a scene does, the rest of the night goes on
            told = _in_words(error)
            if not isinstance(told, LeaseError):  # the run that holds the scene says how that ends
                _quarantine(record, state.job, told, log)
            return Outcome(state.scene, "failed", told.code, str(told), time.monotonic() - started)
    record.unlink(missing_ok=True)
    record.with_suffix(".html").unlink(missing_ok=True)
    verdict: Result = "degraded" if receipt is not None and receipt.verdict == "degraded" else "published"
    return Outcome(state.scene, verdict, seconds=time.monotonic() - started, receipt=receipt)


def _in_words(error: Exception) -> SRError:
    if isinstance(error, SRError):
        return error
    told = SRError(f"unexpected {type(error).__name__}", str(error), "see the log; please report it",
                   code="UNEXPECTED")  # fmt: skip
    told.__cause__ = error
    return told


def _quarantine(record: Path, job: Job, error: SRError, log: Sequence[str]) -> None:
    with suppress(SRError, OSError):  # a store that cannot be written is the error already told
        quarantine(record, job.scene, error, job.paths, job.configuration, log)
        record.with_suffix(".html").unlink(missing_ok=True)
        if isinstance(error, GateError):
            keep_page(job.scratch, job.product.page.name, record.with_suffix(".html"))


def run_dataset(
    catalog_path: Path,
    dataset: str,
    run: Run,
    *,
    scene: str | None = None,
    limit: int | None = None,
    force: bool = False,
) -> list[Outcome]:
    """Every due scene of a dataset (or the one named), one after the other.

    CatalogError for an unknown dataset or scene; a failing scene is an outcome.
    """
    catalog = load_catalog(catalog_path)
    states = scene_states(catalog, dataset)
    if scene is not None:
        states = [state for state in states if state.scene == scene]
        if not states:
            raise CatalogError(f"dataset {dataset} has no scene {scene!r}", "", "see `srcore status`")
    else:
        sweep_dataset(DatasetPaths(Path(catalog.store) / dataset), {state.scene for state in states})
    outcomes, done = [], 0
    for state in states:
        if (state.due or force) and limit is not None and done >= limit:
            continue
        done += state.due or force
        outcomes.append(run_due(catalog, state, run, force=force))
    places = DatasetPaths(Path(catalog.store) / dataset)
    if is_stale(places):
        _show(places)
    return outcomes


def _show(places: DatasetPaths) -> None:
    """The dataset's page as things stand now: a view, so a run does not fail by it."""
    try:
        write_index(places)
    except SRError as error:
        log.warning("the page of %s was not written: %s", places.root.name, error)
