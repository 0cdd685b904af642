"""How long a run waits for somebody who may do its tiles, and what it says meanwhile."""

from __future__ import annotations

import logging
import time

from srcore.dispatch.crew import LOOK_SECONDS, Crew
from srcore.errors import TileError

log = logging.getLogger(__name__)

LOST_SECONDS = 30.0
"""A scheduler that does not answer for so long is gone."""
IDLE_SECONDS = 300.0
"""A cluster without any worker for so long gets no more patience."""
WORD_SECONDS = 5.0
"""Before it is said that a worker is waited for."""


class Patience:
    """How long nobody has been there who may do a tile."""

    def __init__(self, crew: Crew) -> None:
        self.crew, self.since, self.told = crew, time.monotonic(), False

    def look(self) -> bool:
        """Whether somebody is there now; TileError NO_SCHEDULER or NO_WORKERS when it took too long."""
        status = self.crew.client.status
        present = self.crew.look() if status == "running" else []
        answers = status == "running" and self.crew.answered
        waited = time.monotonic() - self.since
        if answers and present:
            self.since, self.told = time.monotonic(), False
            return True
        if status == "closed" or (not answers and waited > LOST_SECONDS):
            found = "it does not answer" if status == "running" else status
            raise TileError(
                "the Dask scheduler is gone", found, "start it and run again: done tiles are kept", code="NO_SCHEDULER"
            )
        if answers and waited > IDLE_SECONDS:
            found = f"none for {waited:.0f} s{self._silent()}"
            raise TileError("no worker is left", found, "start some and run again", code="NO_WORKERS")
        if answers and waited > WORD_SECONDS and not self.told:
            self.told = True
            scheduler = self.crew.client.scheduler
            address = scheduler.address if scheduler is not None else "the scheduler"
            told = "no worker at %s that may do tiles%s: waiting for one, %.0f s at most"
            log.warning(told, address, self._silent(), IDLE_SECONDS)
        return False

    def _silent(self) -> str:
        silent = sorted(self.crew.silent)
        return f"; {', '.join(silent[:3])}{' ...' if silent[3:] else ''} stand still" if silent else ""


def wait_for_one(crew: Crew) -> None:
    """Until there is a worker that may do tiles."""
    patience = Patience(crew)
    while not patience.look():
        time.sleep(LOOK_SECONDS / 4)
