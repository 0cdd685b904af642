"""The flow `upscale-scene`: one scene from the catalog to a published product, as five tasks to watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.exceptions import FailedRun
from prefect.states import Completed, Failed

from flows.artifacts import show_map, show_quicklook, show_report
from flows.service.runs import begin
from flows.tagged import tagged, untagged
from flows.tasks import call_as_task
from srcore.catalog import Catalog, load_catalog
from srcore.catalog.object_stores import on_object_store, shown
from srcore.dispatch import Workers
from srcore.dispatch.cluster import keep_memory
from srcore.errors import SRError
from srcore.job import Job
from srcore.progress import Progress
from srcore.run.dataset import Wanted, each_due, run_one
from srcore.run.outcome import Outcome
from srcore.run.scene import Run, plain, scene_runner
from srcore.run.states import SceneState
from srcore.settings import load_settings
from srcore.storage.archive.publish import Receipt

OF_THE_CATALOG = "catalog"
"""The model that the dataset's entry names."""
T = TypeVar("T")

_AROUND: ContextVar[Run | None] = ContextVar("the runner of the night around a scene", default=None)


@dataclass(frozen=True)
class Handed:
    """What the night around a scene knows, and what it is told: Prefect may lose a run that did its work."""

    catalog: Catalog
    state: SceneState
    outcomes: list[Outcome] = field(default_factory=list)


_HANDED: ContextVar[Handed | None] = ContextVar("what the night around a scene knows", default=None)


@flow(name="upscale-scene", flow_run_name="{dataset}/{scene}", persist_result=False)
def upscale_scene(
    catalog: str, dataset: str, scene: str, force: bool = False, model: str = OF_THE_CATALOG
) -> State[Outcome]:
    """Super-resolve one scene of the catalog: plan, ingest, upscale, export, validate, then publish.

    Args:
        catalog: Path of the catalog on the machine that runs the flow; a service runs its own alone.
        dataset: Name of the dataset in the catalog.
        scene: Id of the scene, as `srcore status DATASET` lists it: mostly the file's name without its suffix.
        force: Do it again, even when the product is up to date or the scene is in quarantine.
        model: Another model for this run alone. The next night makes the scene again with the one of the catalog.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        path = begin(catalog)
        with untagged():
            outcome = _outcome(Path(path), (dataset, scene), force, model)
    except SRError as error:
        outcome = Outcome(scene, "failed", error.code, str(error))
    return outcome_state(outcome)


def _outcome(path: Path, which: tuple[str, str], force: bool, model: str) -> Outcome:
    handed = _HANDED.get()
    if handed is not None and (handed.state.job.dataset, handed.state.scene) == which:
        with scenes_as_tasks() as run:
            outcome = run_one(handed.catalog, handed.state, run, force=force)
        handed.outcomes.append(outcome)
        return outcome
    dataset, scene = which
    catalog = with_model(load_catalog(path), dataset, model)
    with scenes_as_tasks() as run:
        [outcome] = each_due(
            catalog,
            dataset,
            lambda state, again: run_one(catalog, state, run, force=again),
            scene=scene,
            wanted=Wanted(force=force),
        )
    return outcome


def with_model(catalog: Catalog, dataset: str, model: str) -> Catalog:
    """The catalog with another model for one dataset; as it is for OF_THE_CATALOG. CatalogError for an unknown one."""
    entry = catalog.dataset(dataset)
    if model in (OF_THE_CATALOG, entry.model):
        return catalog
    changed = entry.model_copy(update={"model": model})
    return catalog.model_copy(update={"datasets": {**catalog.datasets, dataset: changed}})


@contextmanager
def handed_on(catalog: Catalog, state: SceneState) -> Iterator[Handed]:
    """Around the run of one scene: what a night knows of it, so that the run looks at no other scene."""
    handed = Handed(catalog, state)
    token = _HANDED.set(handed)
    try:
        yield handed
    finally:
        _HANDED.reset(token)


def upscale_handed(path: Path, catalog: Catalog, state: SceneState, force: bool) -> Outcome:
    """The outcome of a run of `upscale-scene` that is told what this night knows; also one that crashed has one.

    Raises what Prefect raises when its server is away, and nothing was done.
    """
    dataset = state.job.dataset
    with handed_on(catalog, state) as handed:
        try:
            with tagged(dataset):
                ended = upscale_scene(str(path), dataset, state.scene, force, return_state=True)
        except Exception:
            if not handed.outcomes:
                raise
    if handed.outcomes:
        return handed.outcomes[0]
    return Outcome(state.scene, "failed", "UNEXPECTED", ended.message or ended.name or "")


@contextmanager
def scenes_as_tasks() -> Iterator[Run]:
    """Runs scenes on workers that are started once: for the night around it, if any.

    In a run of `upscale-scene` the stages are tasks, and what came of them is shown.
    """
    around = _AROUND.get()
    if around is not None:
        yield around
        return
    with scene_runner(local_workers(), _as_task) as run:
        token = _AROUND.set(partial(_run_and_show, run))
        try:
            yield partial(_run_and_show, run)
        finally:
            _AROUND.reset(token)


def _is_watched() -> bool:
    """True in a flow run of one scene."""
    return bool(runtime.flow_run.flow_name == upscale_scene.name)


def _as_task(stage: str, function: Callable[[Progress], T]) -> T:
    return call_as_task(stage, function) if _is_watched() else plain(stage, function)


def _run_and_show(run: Run, job: Job) -> Receipt | None:
    receipt, product = run(job), job.product
    if not _is_watched():
        return receipt
    if on_object_store(product.folder):
        logging.getLogger(__name__).info("%s: its quicklook and report lie at %s", job.scene, shown(product.folder))
        if job.dataset:
            show_map(product.data, job.dataset, job.scene)
        return receipt
    if "quicklook" in job.outputs and product.quicklook.exists():
        show_quicklook(product.quicklook, job.dataset, job.scene, product.data)
    if product.page.exists():
        show_report(product.page, job.dataset, job.scene)
    if job.dataset:
        show_map(product.data, job.dataset, job.scene)
    return receipt


def local_workers() -> Workers:
    """Where tiles run, from the settings of this machine; where that is this process, it keeps their memory."""
    keep_memory()
    settings = load_settings()
    return Workers(settings.workers, settings.scheduler)


class SceneFailed(SRError):  # noqa: N818  named after the state that it explains
    """A scene is without product; what its flow run failed by."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message, code=outcome.code)
        self.outcome = outcome


def outcome_state(outcome: Outcome) -> State[Any]:
    """What a flow run shows of a scene's outcome, in one line."""
    if outcome.ok:
        return Completed(message=f"{outcome.scene}: {outcome.result}", data=outcome)
    message = f"{outcome.scene}: {outcome.result}, {outcome.code}: {outcome.message}"
    return Failed(message=message, data=SceneFailed(outcome))


def is_unexpected(record: logging.LogRecord) -> bool:
    """False for the traceback that Prefect logs behind a flow that ended as failed on purpose: its state says why."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, SceneFailed | FailedRun)
