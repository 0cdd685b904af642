"""The flow `upscale-small`: small scenes of a night share its run, one row a scene; the large ones have their own.

A flow run costs a second, more than a small scene takes. What lies in the store is the same either way: each scene is
done by the same call, quarantined by itself, and stops no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts import server_is_away, server_went_away, show_table
from flows.guard import refuse_unserved
from flows.tagged import tagged, untagged
from flows.upscale import is_unexpected, upscale_handed
from srcore.catalog import Catalog
from srcore.errors import SRError
from srcore.run.dataset import done_by
from srcore.run.night.turns import Turn, Turns
from srcore.run.outcome import Do, Outcome
from srcore.run.scene import Run
from srcore.run.states import SceneState

log = logging.getLogger(__name__)

BATCH = 200
"""Scenes that share a flow run, at most."""
BATCH_SECONDS = 600.0
"""After which a batch ends, so that its rows are seen."""


class Batch:
    """Small scenes, one after the other, from a queue that others take from, too."""

    def __init__(self, turns: Turns, first: Turn, do: Do) -> None:
        self.turns, self.do = turns, do
        self.turn: Turn | None = first
        """Given out, and not done."""
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        """Do what is left of it; stops at a large scene."""
        started = time.monotonic()
        while (turn := self.turn) is not None:
            outcome = self.do(turn.state, turn.again)
            self.turns.done(turn, outcome)
            self.outcomes.append(outcome)
            full = len(self.outcomes) >= BATCH or time.monotonic() - started > BATCH_SECONDS
            self.turn = None if full else self.turns.next(small=True)

    def rows(self) -> list[dict[str, Any]]:
        """What failed first."""
        return [
            {
                "scene": one.scene,
                "result": one.result,
                "code": one.code,
                "message": one.message,
                "seconds": round(one.seconds, 1),
            }
            for one in sorted(self.outcomes, key=lambda one: (not one.fails, one.ok, one.scene))
        ]

    def state(self) -> State[Any]:
        """Failed when a scene failed that did not fail so before."""
        failed = [one for one in self.outcomes if one.fails]
        told = f"{len(self.outcomes)} scenes, {len(failed)} failed"
        names = ", ".join(f"{one.scene} ({one.code})" for one in failed[:8]) + (" ..." if len(failed) > 8 else "")
        return Failed(message=f"{told}: {names}") if failed else Completed(message=told)


_BATCH: ContextVar[Batch | None] = ContextVar("the batch that the night hands on", default=None)


@flow(name="upscale-small", flow_run_name="{dataset}: small scenes from {first}", persist_result=False)
def upscale_small(catalog: str, dataset: str, first: str) -> State[Any]:
    """Small scenes of a night in one run; a night starts it, nobody else.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog.
        first: The first of the scenes.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        refuse_unserved(catalog)
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    batch = _BATCH.get()
    if batch is None:
        return Failed(message="only a night starts this flow; start `nightly`, or `upscale-scene`")
    with untagged():
        batch.run()
        show_table(batch.rows(), f"small scenes of {dataset}", "small", dataset, first)
    return batch.state()


def flow_taker(path: Path, catalog: Catalog, run: Run) -> Callable[[Turns, Do], None]:
    """A taker of a night under Prefect: each large scene a flow run, small ones several together.

    When the server is away scenes are done all the same, without runs of theirs.
    """

    def taker(turns: Turns, do: Do) -> None:
        while (turn := turns.next()) is not None:
            if turn.small:
                _together(path, Batch(turns, turn, done_by(catalog, run)))
            else:
                turns.done(turn, do(turn.state, turn.again))

    return taker


def _together(path: Path, batch: Batch) -> None:
    first = batch.turn
    if first is not None and not server_is_away():
        token = _BATCH.set(batch)
        dataset = first.state.job.dataset
        try:
            with tagged(dataset):
                upscale_small(str(path), dataset, first.state.scene, return_state=True)
        except Exception as error:
            server_went_away(error)
        finally:
            _BATCH.reset(token)
    batch.run()  # what Prefect did not do


def flow_do(path: Path, catalog: Catalog, run: Run) -> Do:
    """Does a scene as a run of `upscale-scene`; without one while the server is away."""

    def do(state: SceneState, again: bool) -> Outcome:
        if not server_is_away():
            try:
                return upscale_handed(path, catalog, state, again)
            except Exception as error:
                server_went_away(error)
        return done_by(catalog, run)(state, again)

    return do
