"""What became of a scene in a run, and who does one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from srcore.run.states import SceneState
from srcore.storage.archive.publish import Receipt

Result = Literal[
    "published", "degraded", "up to date", "quarantined", "ignored", "skipped", "failed", "damaged", "note"
]
AROUND = frozenset(
    {
        *("DISK_FULL", "NO_MEMORY", "NOT_WRITABLE", "BAD_STORE", "STORE_AWAY", "STORE_REFUSED", "REGISTRY_AWAY"),
        *("NO_SCHEDULER", "NO_TLS", "NO_WORKERS", "OPEN_SCHEDULER", "WORKERS_REFUSED"),
    }
)
"""Reason codes of what is wrong with the machine, not with a scene: old or new, no night is good with it."""
EXPECTED = frozenset({"CLOUDY"})
"""Codes of scenes that have no product because the catalog says so."""


@dataclass(frozen=True)
class Outcome:
    """What became of one scene in a run."""

    scene: str
    """Empty where the whole dataset is meant."""
    result: Result
    """note: nothing went wrong, and something should be known; quarantined: it failed before, and was not tried;
    skipped: the catalog says that such a scene gets none; damaged: an audit found other bytes than were published."""
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    receipt: Receipt | None = None
    old: bool = False
    """It failed so before, and nothing changed about it: said, and no reason to call somebody."""
    source: str = ""
    """The first of its files; empty of a private scene."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the product that this run made."""
        return self.receipt.notes if self.receipt is not None and self.result != "up to date" else ()

    @property
    def fails(self) -> bool:
        """True when the night fails by it."""
        return not (self.ok or self.old or self.result == "skipped")

    @property
    def ok(self) -> bool:
        """False when the scene has no product now."""
        return self.result in ("published", "degraded", "up to date", "note")


Do = Callable[[SceneState, bool], Outcome]
"""Does one scene; True: whatever its state is."""
