"""One scene, from a job to a receipt, and the scenes of a dataset that are due. Knows no Prefect.

The five stages are called through `call`, so that a terminal can draw a bar and a flow can make a task of each.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from srcore import __version__
from srcore.catalog import Catalog, load_catalog
from srcore.checkpoints import read_spec
from srcore.dispatch import Workers, cluster
from srcore.errors import CatalogError, GateError, SRError
from srcore.layout import DatasetPaths
from srcore.stages.export import export
from srcore.stages.ingest import ingest
from srcore.stages.plan import Job, plan_scene
from srcore.stages.upscale import Upscaled, upscale
from srcore.storage.publish import Receipt, clear_scratch, is_whole, publish, same_sources
from srcore.storage.scratch import Ingested, ScenePlan, read_json, write_json
from srcore.storage.sources import Scene, find_hr, find_scenes

if TYPE_CHECKING:
    from srcore.stages.validate import Report

T = TypeVar("T")
Progress = Callable[[int, int], None]
StageCall = Callable[[str, Callable[[Progress], T]], T]
Run = Callable[[Job], Receipt | None]
STAGES = ("plan", "ingest", "upscale", "export", "validate")


def plain(_name: str, stage: Callable[[Progress], T]) -> T:
    """Call a stage and say nothing."""
    return stage(lambda done, total: None)


def run_scene(job: Job, workers: Workers, call: StageCall[Any] = plain, until: str = "publish") -> Receipt | None:
    """Run the stages of one scene and publish its product; gives the receipt.

    With `until` a stage's name the run stops behind it, its files stay in the scratch folder, and None is
    given; a later run goes on from there. GateError when a gate stops the product; any SRError of a stage.
    """
    stage = _Stages(call, until)
    try:
        plan: ScenePlan = stage("plan", lambda progress: plan_scene(job))
        ingested: Ingested = stage("ingest", lambda progress: ingest(plan, progress))
        upscaled: Upscaled = stage("upscale", lambda progress: upscale(plan, workers, progress))
        stage("export", lambda progress: export(plan, progress))
        report: Report = stage("validate", lambda progress: _validate(plan, progress))
    except _Reached:
        return None
    refuse(plan, report)
    receipt = publish(plan.product, plan.scratch.staged, _receipt(plan, ingested, upscaled, report, stage.seconds))
    clear_scratch(plan.scratch.folder)
    return receipt


@contextmanager
def scene_runner(workers: Workers, call: StageCall[Any] = plain) -> Iterator[Run]:
    """`run_scene` for several scenes, whose workers are started once, when the first scene needs them."""
    with ExitStack() as stack:

        @cache
        def started() -> Workers:
            return stack.enter_context(cluster(workers))

        yield lambda job: run_scene(job, started(), call)


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


class _Reached(Exception):  # noqa: N818  an end, not an error
    """The stage that a run should end with is done."""


class _Stages:
    """Calls the stages in turn, keeps their wall time, and stops behind the one that was asked for."""

    def __init__(self, call: StageCall[Any], until: str) -> None:
        self.call, self.until = call, until
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, stage: Callable[[Progress], Any]) -> Any:
        started = time.monotonic()
        result = self.call(name, stage)
        self.seconds[name] = round(time.monotonic() - started, 3)
        if name == self.until:
            raise _Reached
        return result


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


State = Literal["new", "changed", "published", "quarantined"]


@dataclass(frozen=True)
class SceneState:
    """Where a scene of the catalog stands, and the job that would do it."""

    scene: str
    state: State
    job: Job
    reason: str = ""
    """Why it is due, or why it was quarantined."""

    @property
    def due(self) -> bool:
        """True when a run has something to do."""
        return self.state in ("new", "changed")


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
    receipt = Receipt.load(job.product.receipt)
    if receipt is not None and is_whole(job.product, receipt):
        if receipt.configuration != job.configuration:
            return SceneState(job.scene, "changed", job, "the model or the configuration changed")
        if not same_sources(receipt, job.paths):
            return SceneState(job.scene, "changed", job, "the source changed")
        return SceneState(job.scene, "published", job, receipt.verdict)
    record = places.quarantine(job.scene)
    if record.exists():
        value = read_json(record)
        if value["configuration"] == job.configuration and value["sources"] == _stamps(job) and not value["retryable"]:
            return SceneState(job.scene, "quarantined", job, f"{value['code']}: {value['message']}")
        return SceneState(job.scene, "changed", job, f"tried before: {value['code']}")
    return SceneState(job.scene, "new", job, "product damaged" if receipt else "")


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
    if not force and not state.due:
        if state.state == "published":
            return Outcome(state.scene, "up to date")
        code, _, message = state.reason.partition(": ")
        return Outcome(state.scene, "quarantined", code, message)
    started = time.monotonic()
    record = DatasetPaths(Path(catalog.store) / state.job.dataset).quarantine(state.scene)
    if force:
        shutil.rmtree(state.job.scratch, ignore_errors=True)
    try:
        receipt = run(state.job)
    except SRError as error:
        _quarantine(record, state.job, error)
        return Outcome(state.scene, "failed", error.code, str(error), time.monotonic() - started)
    except Exception as error:  # whatever a scene does, the rest of the night goes on
        unknown = SRError(f"unexpected {type(error).__name__}", str(error), "see the log; please report it",
                          code="UNEXPECTED")  # fmt: skip
        _quarantine(record, state.job, unknown, traceback.format_exc())
        return Outcome(state.scene, "failed", unknown.code, str(unknown), time.monotonic() - started)
    record.unlink(missing_ok=True)
    verdict: Result = "degraded" if receipt is not None and receipt.verdict == "degraded" else "published"
    return Outcome(state.scene, verdict, seconds=time.monotonic() - started, receipt=receipt)


def _quarantine(record: Path, job: Job, error: SRError, log: str = "") -> None:
    value = {
        "scene": job.scene, "code": error.code, "message": str(error), "retryable": error.retryable, "log": log,
        "configuration": job.configuration, "sources": _stamps(job), "when": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    with suppress(SRError):  # a store that cannot be written is the error already told
        write_json(record, value)


def _stamps(job: Job) -> list[list[Any]]:
    """Path, size and time of the sources: enough to see that a failing input was replaced."""
    stamps: list[list[Any]] = []
    for path in job.paths:
        status = path.stat() if path.exists() else None
        stamps.append([str(path), status.st_size if status else -1, status.st_mtime_ns if status else -1])
    return stamps


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
    outcomes, done = [], 0
    for state in states:
        if (state.due or force) and limit is not None and done >= limit:
            continue
        done += state.due or force
        outcomes.append(run_due(catalog, state, run, force=force))
    return outcomes
