"""The flow `upscale-scene`: one scene from the catalog to a published product, as five tasks to watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed, Failed, State

from flows.artifacts import show_quicklook
from flows.scene import Job, Outcome, Receipt, Workers, run_dataset, run_scene
from flows.tasks import stage_tasks
from srcore.errors import SRError
from srcore.settings import load_settings


@flow(name="upscale-scene", flow_run_name="{dataset}/{scene}", persist_result=False)
def upscale_scene(catalog: str, dataset: str, scene: str, force: bool = False) -> State[Any]:
    """Super-resolve one scene of the catalog: plan, ingest, upscale, export, validate, then publish.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog.
        scene: Id of the scene, as `srcore status DATASET` lists it.
        force: Do it again, even when the product is up to date or the scene is in quarantine.
    """
    try:
        workers = local_workers()
        [outcome] = run_dataset(Path(catalog), dataset, scene=scene, force=force, workers=workers, run=run_as_tasks)
    except SRError as error:
        outcome = Outcome(scene, "failed", error.code, str(error))
    return outcome_state(outcome)


def local_workers() -> Workers:
    """Where tiles run, from the settings of this machine."""
    settings = load_settings()
    return Workers(settings.workers, settings.scheduler)


def run_as_tasks(job: Job, workers: Workers) -> Receipt:
    """`run_scene` with its stages as tasks of the flow run, and the quicklook shown when it is published."""
    receipt = run_scene(job, workers, stage_tasks(job.dataset, job.scene))
    assert receipt is not None  # None comes of a run that stops before it publishes
    if job.product.quicklook.exists():
        show_quicklook(job.product.quicklook, job.dataset, job.scene, job.product.data)
    return receipt


def outcome_state(outcome: Outcome) -> State[Any]:
    """What a flow run shows of a scene's outcome: one line."""
    if outcome.outcome == "failed":
        return Failed(message=f"{outcome.code}: {outcome.message}", data=outcome)
    return Completed(message=f"{outcome.scene}: {outcome.outcome}", data=outcome)
