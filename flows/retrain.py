"""The flow `retrain`: pairs of a dataset -> challenger -> both on held-out scenes -> promoted, or kept out.

    srcore retrain DATASET

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import Task, flow, runtime
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts import StageProgress, artifact_key, show_evaluation
from flows.service.runs import begin
from flows.upscale import is_unexpected
from srcore.catalog import load_catalog
from srcore.errors import SRError, TrainingError
from srcore.layout import LEASE
from srcore.progress import Progress
from srcore.run.scene import StageCall, plain
from srcore.storage.archive.ownership import is_round, refuse_links
from srcore.storage.disk.leases import held

if TYPE_CHECKING:
    from srcore.training.promote import Decision

T = TypeVar("T")
log = logging.getLogger(__name__)

STEPS = ("collect", "fit", "evaluate", "promote")


def retrain_dataset(catalog: Path, dataset: str, call: StageCall[Any] = plain, *, force: bool = False) -> Decision:
    """One round for a dataset: gives the decision, or the one made earlier on the same pairs unless `force`.

    CatalogError, SourceError or GridError for what cannot be trained on; StoreError for a registry that would not take
    the result; LeaseError when another run is at it. An error that would come back in every other round keeps a record
    and is not met again without new pairs.
    """
    # torch and matplotlib take seconds to import: the schedules start without.
    from srcore.training import promote
    from srcore.training.round import lay_out

    work = lay_out(load_catalog(catalog), dataset)
    refuse_links(work.places.root.parent, work.places.retraining)
    with held(work.places.retraining / LEASE):
        promote.settle(work)
        before = None if force else promote.decided(work)
        if before is not None:
            _sweep(work.places.retraining, keep=None)
            return before
        _sweep(work.places.retraining, keep=None if force else work.folder)
        try:
            call("collect", partial(promote.collect, work))
            call("fit", partial(promote.fit, work))
            evaluation = call("evaluate", partial(promote.assess, work))
        except SRError as error:
            if error.retryable:
                raise  # the next night may have more disk, memory or registry
            decision = promote.failed(work, error)
            if isinstance(error, TrainingError):
                return decision  # what the round found out: no model comes of these pairs by this recipe
            raise
        decided: Decision = call("promote", lambda progress: promote.conclude(work, evaluation))
    return decided


def _sweep(folder: Path, keep: Path | None) -> None:
    """Remove what interrupted rounds on other pairs left, and nothing else. Call it with the lease."""
    for entry in folder.iterdir() if folder.is_dir() else ():  # of an object store the lease lies elsewhere
        if entry != keep and is_round(entry):
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.is_dir() and entry != keep:
            log.warning("%s is left as it is: srcore did not make it", entry)


def run_step(step: str, dataset: str, function: Callable[[Progress], T]) -> T | State[Any]:
    """Call a step; an error that srcore raises on purpose becomes a failed state of one line, code first."""
    try:
        result = function(StageProgress(step, artifact_key("retrain", step, dataset)))
    except SRError as error:
        return Failed(message=f"{error.code}: {error}", data=error)
    if step == "evaluate":
        show_evaluation(result, dataset)  # type: ignore[arg-type]
    return result


TASKS: dict[str, Task[..., Any]] = {
    step: Task(run_step, name=step, task_run_name=step, persist_result=False, cache_policy=NO_CACHE) for step in STEPS
}


def _call_as_task(step: str, function: Callable[[Progress], T]) -> T:
    state: State[T] = TASKS[step](step, runtime.flow_run.parameters["dataset"], function, return_state=True)  # type: ignore[assignment]
    result: T = state.result()
    return result


@flow(name="retrain", flow_run_name="{dataset}", persist_result=False)
def retrain(catalog: str, dataset: str, force: bool = False) -> State[Any]:
    """Train a challenger on the scenes of a dataset, and promote it if it is better than the champion.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog; its entry has the key `retrain`.
        force: Train again, even when there are no new pairs.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        catalog = begin(catalog)
        decision = retrain_dataset(Path(catalog), dataset, _call_as_task, force=force)
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    return Completed(message=in_words(decision))


def in_words(decision: Decision) -> str:
    """One line."""
    if decision.repeated:
        return f"{decision.dataset}: nothing new since {decision.created}; then: {decision.reason}"
    return f"{decision.dataset}: {'promoted' if decision.promoted else 'kept out'}, {decision.reason}"
