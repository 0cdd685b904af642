"""The flow `upscale-scene`: one scene from the catalog to a published product, as five tasks to watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts import show_quicklook
from flows.scene import Outcome, run_dataset, run_scene
from flows.tasks import stage_tasks
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.settings import load_settings
from srcore.stages.plan import Job
from srcore.storage.publish import Receipt


@flow(name="upscale-scene", flow_run_name="{dataset}/{scene}", persist_result=False)
def upscale_scene(catalog: str, dataset: str, scene: str, force: bool = False) -> State[Outcome]:
    """Super-resolve one scene of the catalog: plan, ingest, upscale, export, validate, then publish.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog.
        scene: Id of the scene, as `srcore status DATASET` lists it.
        force: Do it again, even when the product is up to date or the scene is in quarantine.
    """
    try:
        [outcome] = run_dataset(Path(catalog), dataset, run_as_tasks, scene=scene, force=force)
    except SRError as error:
        outcome = Outcome(scene, "failed", error.code, str(error))
    return outcome_state(outcome)


def run_as_tasks(job: Job) -> Receipt | None:
    """`run_scene` with its stages as tasks of the flow run; shows the quicklook when the product is published."""
    receipt = run_scene(job, local_workers(), stage_tasks(job.dataset, job.scene))
    if job.product.quicklook.exists():
        show_quicklook(job.product.quicklook, job.dataset, job.scene, job.product.data)
    return receipt


def local_workers() -> Workers:
    """Where tiles run, from the settings of this machine."""
    settings = load_settings()
    return Workers(settings.workers, settings.scheduler)


def outcome_state(outcome: Outcome) -> State[Any]:
    """What a flow run shows of a scene's outcome, in one line."""
    if outcome.ok:
        return Completed(message=f"{outcome.scene}: {outcome.result}", data=outcome)
    return Failed(message=f"{outcome.scene}: {outcome.result}, {outcome.code}: {outcome.message}", data=outcome)
