"""Deployments from the catalog: what the server schedules, what its form can start, what a stop left behind."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.nightly import nightly
from flows.pairs import collect_pairs
from flows.retrain import retrain
from flows.service.runs import ours
from flows.tagged import BY_HAND, dataset_tag, here, our_tags
from flows.upscale import OF_THE_CATALOG, upscale_scene
from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.checkpoints import builtin_names
from srcore.layout import SAFE_ID

WHAT = {nightly.name: "every due scene", retrain.name: "a challenger", collect_pairs.name: "pairs of HR and LR"}


def deployments(path: Path, catalog: Catalog, url: str = "") -> list[RunnerDeployment]:
    """A `nightly` deployment a dataset, and one of `collect-pairs` and `retrain` where it asks for them, each on its
    schedule.

    One of `upscale-scene` to start from the form comes last. The server refuses before a run is queued what a form
    cannot mean: another catalog, a dataset or model that there is not, a scene that is no name. On a server that others
    use, too, names end in @POOL. `url`: where pages are.
    """
    path = path.absolute()
    made = _made(path, catalog, url)
    for deployment in made:
        _narrow(deployment, path, catalog)
    return made


def _made(path: Path, catalog: Catalog, url: str) -> list[RunnerDeployment]:
    of_datasets = [_nightly(path, name, dataset, url) for name, dataset in catalog.datasets.items()]
    retrained = [_retrain(path, name, dataset) for name, dataset in catalog.datasets.items() if dataset.retrain]
    paired = [_pairs(path, name, dataset) for name, dataset in catalog.datasets.items() if dataset.pairs]
    return [*of_datasets, *paired, *retrained, _by_hand(path, catalog)]


def _narrow(deployment: RunnerDeployment, path: Path, catalog: Catalog) -> None:
    """Put into the form's schema which values there are: `enforce_parameter_schema`, on by default, checks them."""
    fields = deployment._parameter_openapi_schema.properties
    fields["catalog"] |= {"enum": [str(path)], "readOnly": True}
    given = deployment.parameters["dataset"]
    by_hand = deployment.name == here(BY_HAND)
    fields["dataset"] |= {"enum": list(catalog.datasets) if by_hand else [given], "default": given}
    if not by_hand:
        fields["dataset"]["readOnly"] = True
        return
    fields["scene"]["pattern"] = f"^{SAFE_ID.pattern}$"
    own = [entry.model for entry in catalog.datasets.values()]
    fields["model"]["enum"] = list(dict.fromkeys([OF_THE_CATALOG, *builtin_names(), *own]))


def _nightly(path: Path, name: str, dataset: Dataset, url: str) -> RunnerDeployment:
    told = f"Every due scene of `{name}`: `{dataset.source}` through the model `{dataset.model}`."
    if url and dataset.privacy == "public":
        told += f" [Its products and reports]({url}/store/{name}/index.html)."
    return _scheduled(nightly, (path, name), dataset.schedule, dataset.timezone, told)


def _retrain(path: Path, name: str, dataset: Dataset) -> RunnerDeployment:
    schedule = dataset.retrain.schedule if dataset.retrain else None
    told = f"A challenger for `{dataset.model}`, trained on the scenes of `{name}`, and promoted if better."
    return _scheduled(retrain, (path, name), schedule, dataset.timezone, told)


def _pairs(path: Path, name: str, dataset: Dataset) -> RunnerDeployment:
    schedule = dataset.pairs.schedule if dataset.pairs else None
    told = f"Pairs of HR and LR of `{name}`: checked, and kept or refused with their figures."
    return _scheduled(collect_pairs, (path, name), schedule, dataset.timezone, told)


def _scheduled(
    flow: Flow[..., Any], dataset: tuple[Path, str], schedule: str | None, timezone: str, told: str
) -> RunnerDeployment:
    """A flow of a dataset of a catalog, by its cron expression; None: only when asked."""
    path, name = dataset
    return RunnerDeployment.from_flow(
        flow,
        here(name),
        schedule=Cron(schedule, timezone=timezone) if schedule else None,
        parameters={"catalog": str(path), "dataset": name},
        description=told,
        tags=[*our_tags(), dataset_tag(name)],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _by_hand(path: Path, catalog: Catalog) -> RunnerDeployment:
    names = ", ".join(f"`{name}`" for name in catalog.datasets)
    return RunnerDeployment.from_flow(
        upscale_scene,
        here(BY_HAND),
        parameters={"catalog": str(path), "dataset": next(iter(catalog.datasets))},
        description=f"One scene, now. Datasets: {names}. `srcore status DATASET` lists the scenes.",
        tags=our_tags(),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def lanes(of: Iterable[RunnerDeployment]) -> dict[str, list[RunnerDeployment]]:
    """What waits for each other: nights, what is for training where there is any, and scenes by hand.

    No night waits for a training, and who asks for a scene by hand for no night: that one lets it go first.
    """
    apart: dict[str, list[RunnerDeployment]] = {}
    training = (retrain.name, collect_pairs.name)
    for deployment in of:
        lane = "training" if deployment.flow_name in training else str(deployment.flow_name)
        apart.setdefault(lane, []).append(deployment)
    return apart


def schedules(of: Iterable[RunnerDeployment]) -> list[str]:
    """A line for every schedule: 'hills: every due scene at 0 2 * * * Europe/Zurich'."""
    return [
        f"{deployment.name}: {WHAT[str(deployment.flow_name)]} at {planned.schedule.cron} {planned.schedule.timezone}"
        for deployment in of
        for planned in deployment.schedules or []
        if isinstance(planned.schedule, CronSchedule)
    ]


def keep_pauses(wanted: Iterable[RunnerDeployment]) -> list[str]:
    """Leave paused what somebody paused on the server, which a new start would resume; gives the names."""
    paused = []
    with get_client(sync_client=True) as client:
        for deployment in wanted:
            with suppress(ObjectNotFound):
                known = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
                active = all(planned.active for planned in known.schedules)
                deployment.paused = known.paused
                for planned in deployment.schedules or []:
                    planned.active = active
                if known.paused or not active:
                    paused.append(deployment.name)
    return paused


def drop_schedules(wanted: Iterable[RunnerDeployment]) -> None:
    """Take from the server the schedules of deployments that have none any more: an update leaves them."""
    with get_client(sync_client=True) as client:
        for deployment in wanted:
            if deployment.schedules:
                continue
            with suppress(ObjectNotFound):
                known = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
                for planned in known.schedules:
                    client.delete_deployment_schedule(known.id, planned.id)


def delete_others(keep: Iterable[RunnerDeployment]) -> list[str]:
    """Delete from the server the deployments that the catalog no longer has; gives their names."""
    kept = {(deployment.flow_name, deployment.name) for deployment in keep}
    with get_client(sync_client=True) as client:
        stale = [
            deployment
            for deployment in client.read_deployments(deployment_filter=ours())
            if (client.read_flow(deployment.flow_id).name, deployment.name) not in kept
        ]
        for deployment in stale:
            client.delete_deployment(deployment.id)
    return [deployment.name for deployment in stale]
