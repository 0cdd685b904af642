"""A dataset of the catalog: every scene that is due, one after the other. Knows no Prefect."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcore.catalog import Catalog, load_catalog
from srcore.catalog.dataset import Dataset
from srcore.errors import AwayError, CatalogError, GateError, LeaseError, SRError, in_words
from srcore.job import Job
from srcore.layout import DatasetPaths
from srcore.run.audit import Audit, audit
from srcore.run.listed import list_products
from srcore.run.missing import nothing_found
from srcore.run.night.book import Book
from srcore.run.night.due import gave_up, queue_of, told_of_left
from srcore.run.night.others import after_others
from srcore.run.night.slots import scene_slot
from srcore.run.night.turns import Turn, Turns, run_takers, size_of
from srcore.run.night.waiting import first
from srcore.run.outcome import AROUND, EXPECTED, Do, Outcome, Result
from srcore.run.renamed import erase_former
from srcore.run.states import SceneState, look, look_again
from srcore.storage.archive.quarantine import Quarantine, listening, quarantine
from srcore.storage.archive.sweep import sweep_dataset, sweep_done
from srcore.storage.disk.card import told_of
from srcore.storage.disk.store import exists, store_at
from srcore.storage.disk.veil import without_names, without_paths

if TYPE_CHECKING:
    from srcore.run.scene import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What somebody asks of a run besides what is due."""

    limit: int | None = None
    """Scenes at most."""
    force: bool = False
    """Those that are up to date or in quarantine, too."""
    outdated: bool = False
    """Those that another version of srcore or another champion published, too."""

    def again(self, state: SceneState) -> bool:
        """True for a scene that is done although it is not due."""
        return self.force or (self.outdated and state.outdated)


DUE = Wanted()
"""What is due, and no more."""


def run_due(catalog: Catalog, state: SceneState, run: Run, *, force: bool = False) -> Outcome:
    """Do one scene if it is due; never raises because of the scene, what went wrong is in the outcome."""
    record = _record(catalog, state)
    if not force and not state.due:
        return not_due(catalog, state)
    started, source = time.monotonic(), _told_source(state.job)
    with listening() as log:
        try:
            receipt = run(replace(state.job, fresh=force))  # what an earlier run left may be why somebody forces it
        except AwayError:  # nothing can be said of any scene: the run ends
            raise
        except Exception as error:  # whatever a scene does, the rest of the night goes on
            told, old = without_names(in_words(error), state.job.telling), False
            if not isinstance(told, LeaseError):  # the run that holds the scene says how that ends
                old = _quarantine(record, state.job, told, log)
            result: Result = "skipped" if told.code in EXPECTED else "failed"
            return Outcome(state.scene, result, told.code, str(told), time.monotonic() - started, None, old, source)
    _forget(record)
    erase_former(state.job)
    verdict: Result = "degraded" if receipt is not None and receipt.verdict == "degraded" else "published"
    return Outcome(state.scene, verdict, seconds=time.monotonic() - started, receipt=receipt, source=source)


def not_due(catalog: Catalog, state: SceneState) -> Outcome:
    """Why a scene is not done; what was held against one that is published goes."""
    if state.state == "published":
        sweep_done(state.job.scratch, state.job.product)
        if not state.clean:
            _forget(_record(catalog, state))
        erase_former(state.job)
        return Outcome(state.scene, "up to date")
    code, _, message = state.reason.partition(": ")
    result: Result = "ignored" if state.ignored else "quarantined"
    return Outcome(state.scene, result, code, message, old=True, source=_told_source(state.job))


def _told_source(job: Job) -> str:
    """The first file of a scene, or its address, for people; of a private one nobody is told it."""
    return "" if job.private else told_of(job.paths[0])


def _record(catalog: Catalog, state: SceneState) -> Path:
    return DatasetPaths(Path(catalog.store) / state.job.dataset).quarantine(state.scene)


def _forget(record: Path) -> None:
    """A scene has a product now: what was held against it goes."""
    store = store_at(record.parent)
    if exists(record):  # whatever stands there: a delete costs a sync
        store.delete(record.name, record.with_suffix(".html").name)


def _quarantine(record: Path, job: Job, error: SRError, log: Sequence[str]) -> bool:
    """Write why the scene failed; True when that is no news."""
    before = Quarantine.load(record)
    with suppress(SRError, OSError):  # a store that cannot be written is the error already told
        if job.private:
            telling = job.telling
            log = [without_paths(line, telling) for line in log]
        quarantine(record, job.scene, error, job.files, job.configuration, log, private=job.private)
        store_at(record.parent).delete(record.with_suffix(".html").name)
        if isinstance(error, GateError):
            from srcore.report.product import keep_page

            keep_page(job.scratch, job.product.page.name, record.with_suffix(".html"), private=job.private)
    return before is not None and error.code not in AROUND and before.is_old(error, job.files, job.configuration)


def one_by_one(turns: Turns, do: Do) -> None:
    """A taker that does each scene by itself."""
    while (turn := turns.next()) is not None:
        turns.done(turn, do(turn.state, turn.again))


@dataclass(frozen=True)
class Way:
    """How a run goes through the due scenes of a dataset."""

    wait_s: float = 0.0
    """What another run holds is waited for at the end, so long in all."""
    taker: Callable[[Turns, Do], None] = one_by_one
    """Does scenes of a queue, perhaps beside others of its kind."""
    book: Book | None = None
    """Where it is written down how far the run is."""


DIRECTLY = Way()


def run_dataset(
    catalog_path: Path,
    dataset: str,
    run: Run,
    *,
    scene: str | None = None,
    limit: int | None = None,
    force: bool = False,
    outdated: bool = False,
    wait_s: float = 0.0,
) -> list[Outcome]:
    """Every due scene of a dataset (or the one named), one after the other; see Wanted.

    What another run holds is waited for at the end, so long in all.

    CatalogError for an unknown dataset or scene; a failing scene is an outcome.
    """
    catalog = load_catalog(catalog_path)
    wanted, way = Wanted(limit, force, outdated), Way(wait_s)
    return each_due(catalog, dataset, done_by(catalog, run), scene=scene, wanted=wanted, way=way)


def done_by(catalog: Catalog, run: Run) -> Do:
    """Does a scene by `run`, if it is still due."""

    def do(state: SceneState, again: bool) -> Outcome:
        return run_one(catalog, state, run, force=again)

    return do


def each_due(
    catalog: Catalog, dataset: str, do: Do, *, scene: str | None = None, wanted: Wanted = DUE, way: Way = DIRECTLY
) -> list[Outcome]:
    """`run_dataset` by a function of the caller's: what is known of all scenes is passed to each, and read once.

    The dataset's page is written at the end, once.
    """
    standing, places = look(catalog, dataset, scene), DatasetPaths(Path(catalog.store) / dataset)
    looked = [state if state.due or wanted.again(state) else not_due(catalog, state) for state in standing.states]
    if scene is not None and not looked:
        raise CatalogError(f"dataset {dataset} has no scene {scene!r}", "", "see `srcore status`")
    if not looked:
        return [empty(catalog, dataset)]
    todo = [state for state in looked if isinstance(state, SceneState)][: wanted.limit]
    again = [(one, wanted.again(one)) for one in todo]
    if scene is not None:
        turns = Turns(deque(Turn(one, 0, forced) for one, forced in again), len(again), 0)
    else:
        sweep_dataset(places, {one.scene for one in looked})
        turns = queue_of(catalog, dataset, [Turn(one, size_of(one), forced) for one, forced in again], standing.history)
    with first(places.waiting) if scene is not None else nullcontext():
        settled = {one.scene: one for one in _done(catalog, turns, do, way)}
    list_products(catalog, dataset)  # first: the page's time says how far all of them are
    show_page(places)
    told = (one if isinstance(one, Outcome) else settled.get(one.scene) for one in looked)
    return [*(one for one in told if one is not None), *_left(turns, catalog.dataset(dataset))]


def _done(catalog: Catalog, turns: Turns, do: Do, way: Way) -> list[Outcome]:
    """What became of the scenes of a queue, as they ended."""
    if way.book is not None:
        way.book.follow(turns)
    run_takers(turns, lambda queue: way.taker(queue, do), turns.beside)
    return after_others(catalog, [(turn.state, one) for turn, one in turns.outcomes], do, way.wait_s)


def _left(turns: Turns, entry: Dataset) -> list[Outcome]:
    """What is left to the next run, by the deadline or for want of workers, as a note."""
    if not turns.left:
        return []
    told = told_of_left(turns, entry.until or "", entry.timezone)
    if code := gave_up(turns):
        return [Outcome("", "note", code, told)]
    return [Outcome("", "note", code="OUT_OF_TIME", message=told)]


def run_one(catalog: Catalog, state: SceneState, run: Run, *, force: bool) -> Outcome:
    """Do a scene that was due when the run began, and is still; what it costs does not depend on the others.

    It waits for a slot of this machine first, where there is a limit.
    """
    with scene_slot():
        return run_due(catalog, state if force else look_again(catalog, state), run, force=force)


def audit_share(catalog: Catalog, dataset: str) -> list[Outcome]:
    """A night's share of a dataset's audit, where its entry wants one: what is damaged, and a note of the count."""
    days = catalog.dataset(dataset).audit_days
    return audited(audit(catalog, dataset, days=days)) if days is not None else []


def audited(done: Audit) -> list[Outcome]:
    """What an audit came to, as outcomes of a run."""
    found = [Outcome(scene, "damaged", error.code, str(error)) for scene, error in done.findings]
    return [*found, Outcome("", "note", "", str(done))] if done.read else []


def empty(catalog: Catalog, dataset: str) -> Outcome:
    """What a run of a dataset without scenes comes to: a failure where it had some before, else a note."""
    error = nothing_found(catalog, dataset)
    return Outcome("", "failed" if error.code == "SOURCE_MISSING" else "note", error.code, str(error))


def show_page(places: DatasetPaths) -> None:
    """The dataset's page as things stand now: a view, so a run does not fail by it."""
    from srcore.report.index import is_stale, write_index

    try:
        if is_stale(places):
            write_index(places)
    except SRError as error:
        log.warning("the page of %s was not written: %s", places.root.name, error)
