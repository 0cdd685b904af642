"""Behind a night of a dataset: its champion's scenes are counted, and a challenger is looked at in the shadow.

Both are looks at what was done, and neither can fail the night: what went wrong is a note in its table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from srcore.catalog import Catalog
from srcore.checkpoints import CHAMPION
from srcore.errors import GateError, SRError
from srcore.layout import DatasetPaths
from srcore.registry.references import Model, resolve
from srcore.run.dataset import show_page
from srcore.run.outcome import Outcome
from srcore.run.shadow import Rehearse, shadow
from srcore.storage.archive.champions import Tally, count_night
from srcore.storage.archive.quarantine import find_quarantined

log = logging.getLogger(__name__)


def with_afterwards(
    catalog: Catalog, dataset: str, night: Callable[[], list[Outcome]], rehearse: Rehearse
) -> list[Outcome]:
    """The outcomes of `night`, and notes: a rollback that is worth a look, what the challenger would have done.

    `rehearse` runs a job up to VALIDATE and publishes nothing. Raises what `night` raises.
    """
    places = DatasetPaths(Path(catalog.store) / dataset)
    champion = _champion(catalog, dataset)
    if champion is None:
        return night()
    stopped = _stopped(places)
    outcomes = night()
    notes = [
        *_counted(places, champion, _champion(catalog, dataset), _news(outcomes, champion, stopped)),
        *shadow(catalog, dataset, outcomes, rehearse),
    ]
    if notes:
        show_page(places)
    return [*outcomes, *notes]


def _champion(catalog: Catalog, dataset: str) -> Model | None:
    """The dataset's model where it is a champion; None for another, and where none can be found: the night says why."""
    reference = catalog.dataset(dataset).model
    if not reference.endswith(f"@{CHAMPION}"):
        return None
    try:
        return resolve(reference)
    except SRError as error:
        log.warning("the scenes of %s are not counted: %s", dataset, error)
        return None


def _stopped(places: DatasetPaths) -> set[str]:
    """Scenes that a gate stopped before this night."""
    return {
        scene
        for scene, record in find_quarantined(places.quarantined)
        if record is not None and record.code == GateError.code
    }


def _news(outcomes: Sequence[Outcome], champion: Model, before: set[str]) -> tuple[int, int]:
    """How many scenes the champion was tried on, and how many of them a gate stopped that had stopped none before."""
    passed = sum(one.receipt is not None and one.receipt.model_digest == champion.digest for one in outcomes)
    stopped = sum(one.result == "failed" and one.code == GateError.code and one.scene not in before for one in outcomes)
    return passed + stopped, stopped


def _counted(places: DatasetPaths, champion: Model, now: Model | None, news: tuple[int, int]) -> list[Outcome]:
    if now is None or now.digest != champion.digest:
        log.warning("%s became another during the night: its scenes are not counted", champion.reference)
        return []
    try:
        tried, stopped = news
        tally = Tally(champion.digest, champion.version, tried=tried, stopped=stopped)
        told = count_night(places.champions, champion.reference.partition("@")[0], tally).proposal
    except (SRError, OSError) as error:
        return [Outcome("", "note", "BAD_STORE", f"the champion's scenes are not counted: {error}")]
    return [Outcome("", "note", "", told)] if told else []
