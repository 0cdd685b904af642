"""Prefect automations: who is told of a failed, crashed or late run and of a missing worker; and what ends dead runs.

They are updated by their names, so that a second start makes no second one; without a receiver those that tell are
deleted. A message holds no reason where a dataset is restricted: a scene's name can be a patient's.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from prefect.automations import Automation
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, CancelFlowRun, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.types import SecretDict

from flows.guard import POOL
from flows.tagged import BY_HAND, here, our_tags
from srcore.catalog import Catalog
from srcore.errors import CatalogError
from srcore.settings import Settings

BLOCK = "srcore-notify"
SILENCE = timedelta(seconds=90)
"""Without a heartbeat, which comes every 30 s: a dead machine's run is crashed within two minutes."""
ZOMBIES = "srcore: end runs whose process is silent"
ENDLESS = "srcore: end nights that last too long"
NAME = "prefect.resource.name"
Specification = ResourceSpecification | dict[str, str | list[str]]
RUN = {"prefect.resource.id": "prefect.flow-run.*"}
OF_A_DEPLOYMENT = {"prefect.resource.role": "deployment", "prefect.resource.id": "prefect.deployment.*"}
"""What a night starts is told of by the night."""
END_STATES = ("Completed", "Failed", "Cancelled", "Crashed")
TOLD: dict[str, tuple[set[str], dict[str, str], dict[str, str]]] = {
    "srcore: a run failed": ({"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}, RUN, OF_A_DEPLOYMENT),
    "srcore: a run is late": ({"prefect.flow-run.Late"}, RUN, OF_A_DEPLOYMENT),
    # one of them speaks for all that the worker waits for
    "srcore: the worker is missing": (
        {"prefect.deployment.not-ready"},
        {"prefect.resource.id": "prefect.deployment.*", NAME: BY_HAND},
        {},
    ),
}
"""Automations that tell somebody: the events, the resources they are about, and what these must belong to."""


def set_up(catalog: Catalog, settings: Settings) -> list[str]:
    """Make the automations what the settings ask for; who is told, in words.

    CatalogError for a block that the server does not have. A webhook's address is a secret and is not told.
    """
    actions: list[Any] = []
    told: list[str] = []
    if settings.notify:
        block = Webhook(url=settings.notify, headers=SecretDict({"Content-Type": "application/json"}))  # type: ignore[arg-type]
        # outside a loop, where Prefect's `save` gives what it says it may give
        pool = os.environ.get(POOL)
        saved: Any = block.save(f"{BLOCK}-{pool}" if pool else BLOCK, overwrite=True)
        actions.append(CallWebhook(block_document_id=saved, payload=payload(catalog)))
        told.append("a webhook")
    if settings.notify_block:
        subject, body = words(catalog)
        actions.append(SendNotification(block_document_id=_block(settings.notify_block), subject=subject, body=body))
        told.append(settings.notify_block)
    _put(zombies())
    if settings.night_hours:
        _put(endless(settings.night_hours))
    else:
        _take_away(here(ENDLESS))
    for name, trigger in triggers().items():
        if actions:
            _put(Automation(name=here(name), trigger=trigger, actions=actions))
        else:
            _take_away(here(name))
    return told


def triggers() -> dict[str, EventTrigger]:
    """What somebody is told of."""
    return {
        name: EventTrigger(
            expect=events,
            match=ResourceSpecification({key: here(value) if key == NAME else value for key, value in about.items()}),
            match_related=_of_our_pool([within] if within else []),
            posture=Posture.Reactive,
            threshold=1,
        )
        for name, (events, about, within) in TOLD.items()
    }


def _of_our_pool(related: list[dict[str, str]]) -> list[Specification]:
    """What an event must be related to; on a server that others use, too, to this service's work pool."""
    pool = os.environ.get(POOL)
    ours = {"prefect.resource.role": "work-pool", NAME: pool or ""}
    return [ResourceSpecification({**one}) for one in [*related, *([ours] if pool else [])]]


def _of_ours() -> list[Specification]:
    """The same by tags, which subflows and heartbeats have, too."""
    return [ResourceSpecification({"prefect.resource.id": f"prefect.tag.{tag}"}) for tag in our_tags()[1:]]


def endless(hours: float) -> Automation:
    """Cancels a night that lasts so long; the next one goes on from what it finished."""
    began = "prefect.flow-run.Running"
    return Automation(
        name=here(ENDLESS),
        trigger=EventTrigger(
            after={began},
            expect={f"prefect.flow-run.{state}" for state in END_STATES},
            match=ResourceSpecification({**RUN}),
            match_related=[
                ResourceSpecification({"prefect.resource.role": "flow", NAME: "nightly"}),
                *_of_ours(),
            ],
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(hours=hours),
        ),
        actions=[CancelFlowRun()],
    )


def zombies() -> Automation:
    """Crashes a run whose heartbeats stop without an end: its machine, or its process, is gone."""
    beat = "prefect.flow-run.heartbeat"
    return Automation(
        name=here(ZOMBIES),
        trigger=EventTrigger(
            after={beat},
            expect={beat, *(f"prefect.flow-run.{state}" for state in END_STATES)},
            match=ResourceSpecification({**RUN}),
            match_related=_of_ours(),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                force=False,
                state=StateType.CRASHED,
                message="no heartbeat for 90 s: its machine or its process is gone; run it again to go on",
            )
        ],
    )


def payload(catalog: Catalog) -> str:
    """The JSON that a webhook gets, as a template of Prefect's: each value is written as JSON writes it."""
    fields = {
        "what": "automation.name",
        "deployment": "deployment.name",
        "flow": "flow.name",
        "state": "flow_run.state.name",
        **({"run": "flow_run.name", "reason": "flow_run.state.message"} if _is_public(catalog) else {}),
        "url": "(flow_run or deployment)|ui_url",
        "when": "event.occurred|string",
    }
    return (
        "{"
        + ", ".join(f'"{name}": {{{{ ({value})|default("", true)|tojson }}}}' for name, value in fields.items())
        + "}"
    )


def words(catalog: Catalog) -> tuple[str, str]:
    """Subject and body of a message to people."""
    reason = "{{ flow_run.name }}: {{ flow_run.state.message }}\n" if _is_public(catalog) else ""
    subject = "{{ automation.name }}: {{ flow.name }} {{ deployment.name }}"
    return subject, reason + "{{ (flow_run or deployment)|ui_url }}\n"


def _is_public(catalog: Catalog) -> bool:
    return all(entry.privacy == "public" for entry in catalog.datasets.values())


def _block(name: str) -> Any:
    """The id of a notification block that somebody made on the server's page."""
    try:
        block = Block.load(name)
    except ValueError as error:
        raise _no_block(name, "none of that name on the server") from error
    if not isinstance(block, NotificationBlock):
        raise _no_block(name, f"a {type(block).__name__}, which notifies nobody")
    return block._block_document_id


def _no_block(name: str, found: str) -> CatalogError:
    do = "make it on the server's page under Blocks, as TYPE/NAME, or unset it"
    return CatalogError(f"SRCORE_NOTIFY_BLOCK: {name!r} is no notification block", found, do, code="BAD_SETTING")


def _put(wanted: Automation) -> None:
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(wanted.name)
        for twin in known[1:]:
            client.delete_automation(twin.id)
    if known:
        wanted.id = known[0].id
        wanted.enabled = known[0].enabled  # somebody may have switched it off
        wanted.update()
    else:
        wanted.create()


def _take_away(name: str) -> None:
    with get_client(sync_client=True) as client:
        for one in client.read_automations_by_name(name):
            client.delete_automation(one.id)
