"""What needs a person: scenes that failed for good, sources that are gone, damage, and a last night that went wrong.

What somebody decided to ignore needs nobody; what waits for a run needs nobody either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srcore.catalog import Catalog
from srcore.errors import SourceError, SRError
from srcore.layout import DatasetPaths
from srcore.run.missing import Published
from srcore.run.states import SceneState
from srcore.storage.archive.nights import Nights, Running, is_running, read_nights, read_running

NEEDING = ("SOURCE_MISSING", "PRIVACY_UNSAID")
"""Why a dataset has no scene, where that needs somebody."""


@dataclass(frozen=True)
class Needed:
    """One thing that a person should look at."""

    dataset: str
    scene: str
    """Empty where the whole dataset is meant."""
    why: str


@dataclass(frozen=True)
class Standing:
    """Where a dataset stands."""

    dataset: str
    states: Sequence[SceneState]
    gone: Sequence[Published]
    """Products without a source."""
    empty: SRError | None
    """Why there is no scene, where there is none."""
    nights: Nights
    running: Running | None
    """The night that runs."""
    interrupted: Running | None
    """A night whose process is gone."""


def nights_of(catalog: Catalog, dataset: str) -> tuple[Nights, Running | None, Running | None]:
    """The nights that ended, the one that runs, and one that was interrupted since."""
    places = DatasetPaths(Path(catalog.store) / dataset)
    found, lives = read_running(places), is_running(places)
    return read_nights(places), found if lives else None, None if lives else found


def needed(standing: Standing) -> list[Needed]:
    """What needs a person in a dataset."""
    return [Needed(standing.dataset, scene, why) for scene, why in _needed(standing)]


def _needed(standing: Standing) -> Iterator[tuple[str, str]]:
    for state in standing.states:
        yield from ((state.scene, why) for why in _of_scene(state))
    yield from ((one.scene, f"gone: {one.reason}, which is gone") for one in standing.gone)
    if standing.empty is not None and (isinstance(standing.empty, SourceError) or standing.empty.code in NEEDING):
        yield "", f"{standing.empty.code}: {standing.empty}"
    yield from _of_nights(standing)


def _of_scene(state: SceneState) -> Iterator[str]:
    if state.state == "quarantined" and not state.ignored:
        yield f"quarantined: {state.reason}"
    elif state.read is not None and state.read.damaged and not state.ignored:
        yield f"PRODUCT_DAMAGED: {state.read.damaged}; the next run makes it again"
    if "SOURCE_DAMAGED: " in state.reason:
        yield f"SOURCE_DAMAGED: {state.reason.partition('SOURCE_DAMAGED: ')[2]}"


def _of_nights(standing: Standing) -> Iterator[tuple[str, str]]:
    last, was = standing.nights.last, standing.interrupted
    if was is not None:
        yield "", f"the night that began {was.began} was interrupted: {was.words}; the next run goes on"
    elif last is not None and last.interrupted and standing.running is None:
        yield "", f"the last night, of {last.began}, was interrupted"
    if last is not None:
        known = {one.scene for one in standing.states if one.state in ("published", "quarantined")}
        left = [scene for scene in last.new_failures if scene not in known]
        told = [scene or "the dataset" for scene in left]
        if told:
            yield "", f"the last night, of {last.began}, failed: {', '.join(told)}"
