"""What a challenger would have published: STORE/DATASET/shadow/SCENE.DIGEST.json, sealed, one for each of both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from srcore.errors import StoreError
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import store_at

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shadowed:
    """A scene as the challenger does it; of its pixels nothing is kept."""

    scene: str
    name: str
    """Of the model."""
    challenger: str
    """Version and digest."""
    challenger_digest: str
    champion: str
    """Version of the product that stands there."""
    champion_digest: str
    created: str
    """UTC."""
    seconds: float
    verdict: str
    """published, degraded, or quarantined: a gate would stop it."""
    stopped: Mapping[str, str]
    """Gate to the finding, for those that it does not pass."""
    figures: Mapping[str, float]
    """Check id to its value."""
    differences: Mapping[str, float]
    """Check id to its value less that of the champion's product, where both have a number."""

    def save(self, folder: Path) -> None:
        """Write the record, whole or not at all."""
        write_sealed(folder / f"{self.scene}.{self.challenger_digest[:12]}.json", asdict(self))


def find_shadows(folder: Path) -> list[Shadowed]:
    """Every record in a dataset's folder, the newest first; one that is damaged is left out, and told."""
    found = []
    for stored in store_at(folder).list():
        try:
            found.append(Shadowed(**read_sealed(folder / stored.name)))
        except (StoreError, TypeError) as error:
            log.warning("%s is left out: %s", stored.name, error)
    return sorted(found, key=lambda one: (one.created, one.scene), reverse=True)
