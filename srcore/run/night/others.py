"""Scenes that another run holds: they are waited for at the end, and looked at again."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from srcore.catalog import Catalog
from srcore.layout import lease_path
from srcore.run.outcome import Do, Outcome
from srcore.run.states import SceneState, look_again
from srcore.storage.disk.leases import holder, is_alive, is_there, on_store

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks at a lease that is waited for."""
STORE_SECONDS = 5.0
"""The same where a look is three requests."""
WAIT_SECONDS = 3600.0
"""A night waits so long for what another run holds; behind it stands who that is."""


def after_others(
    catalog: Catalog, outcomes: Sequence[tuple[SceneState, Outcome]], do: Do, wait_s: float
) -> list[Outcome]:
    """The outcomes; of scenes that another run held, what became of them once it let go, `wait_s` later at most.

    What it did not publish is done here, by `do`.
    """
    deadline = time.monotonic() + wait_s
    return [_after_other(catalog, state, outcome, do, deadline) for state, outcome in outcomes]


def _after_other(catalog: Catalog, state: SceneState, outcome: Outcome, do: Do, deadline: float) -> Outcome:
    while outcome.code == "LEASED" and time.monotonic() < deadline:
        log.warning("%s; waiting for it", outcome.message)
        lease = lease_path(state.job.scratch)
        while is_there(lease) and is_alive(lease, holder(lease)) and time.monotonic() < deadline:
            time.sleep(STORE_SECONDS if on_store(lease) else LOOK_SECONDS)
        now = look_again(catalog, state)
        if now.state == "published":
            return Outcome(state.scene, "up to date", message="another run published it meanwhile")
        if not now.due:
            code, _, message = now.reason.partition(": ")
            return Outcome(state.scene, "failed", code, f"in another run: {message}")
        time.sleep(LOOK_SECONDS)
        outcome = do(now, False)
    return outcome
