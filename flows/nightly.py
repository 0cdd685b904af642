"""The flow `nightly`: every due scene of every dataset, one after the other; a scene that fails stops no other.

    python -m flows.nightly [--catalog FILE] [--dataset NAME] [--limit N] [--force]

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo

import typer
from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed

from flows.artifacts import server_went_away, show_shadows
from flows.interrupt import Reached, interruptible
from flows.nights import NightProgress, show_night, show_trends
from flows.pairs import behind_night
from flows.service.runs import begin
from flows.small import flow_do, flow_taker
from flows.tagged import tagged, untagged, without_hearts
from flows.upscale import is_unexpected, local_workers, scenes_as_tasks
from srcore.catalog import Catalog, load_catalog
from srcore.errors import LeaseError, SRError
from srcore.layout import DatasetPaths
from srcore.run.afterwards import with_afterwards
from srcore.run.dataset import Wanted, Way, audit_share, done_by, each_due
from srcore.run.night.book import Book, Lines, Tell, open_book
from srcore.run.night.others import WAIT_SECONDS
from srcore.run.outcome import Outcome, Result
from srcore.run.scene import Run as SceneRun
from srcore.run.scene import plain, rehearsals, scene_runner
from srcore.settings import load_settings

log = logging.getLogger(__name__)

MAX_NAMED = 8
"""Failed scenes that the one line names; the table has all."""

Night = list[tuple[str, Outcome]]
"""(dataset, outcome) of every scene."""


def run_name() -> str:
    """'nightly landsat 2026-11-26', the day on which it was to begin, by the clock of its dataset."""
    given, when = runtime.flow_run.parameters, runtime.flow_run.scheduled_start_time
    try:
        entry = load_catalog(Path(given["catalog"])).datasets.get(given.get("dataset") or "")
    except SRError:  # the run says so
        entry = None
    day = when.astimezone(ZoneInfo(entry.timezone) if entry is not None else UTC).date()
    return f"nightly {given.get('dataset') or 'all'} {day}"


@flow(name="nightly", flow_run_name=run_name, persist_result=False)
def nightly(
    catalog: str, dataset: str | None = None, limit: int | None = None, force: bool = False, outdated: bool = False
) -> State[Any]:
    """Every due scene of one dataset, or of all: a large one is a run of `upscale-scene`, small ones share a run.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog; all when left out.
        limit: Scenes to do of each dataset, at most.
        force: Do the scenes that are up to date or in quarantine, too.
        outdated: Do the scenes that another version of srcore or another champion published, too.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        catalog = begin(catalog)
        loaded = load_catalog(Path(catalog))
        with untagged(), without_hearts(), scenes_as_tasks() as run:
            tell = (NightProgress(dataset or "all"), Lines(get_run_logger().info))
            wanted = partial(_subflows, Path(catalog), run, Wanted(limit, force, outdated))
            night = run_night(Path(catalog), dataset, wanted, tell)
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    _ENDED[:] = [night]
    show_night(loaded, night, summary(night), dataset or "all")
    names = [name for name in dict.fromkeys(name for name, _ in night) if name in loaded.datasets]
    show_trends(loaded, names)
    for name in names:
        retrain = loaded.datasets[name].retrain
        if retrain is not None and retrain.shadow:
            show_shadows(DatasetPaths(Path(loaded.store) / name))
    return night_state(night)


_ENDED: list[Night] = []
"""What the last night of this process came to, also where the server did not hear of it."""

Run = Callable[[Catalog, str, Book], list[Outcome]]
"""Does the due scenes of a dataset."""


def run_night(path: Path, dataset: str | None, run: Run, tell: Sequence[Tell] = ()) -> Night:
    """Call `run` for the dataset, or for each of the catalog. A dataset that cannot be looked at is one failure.

    The catalog is read once: a night does what it said when it began, whatever is edited, or broken, meanwhile.
    """
    catalog, night = load_catalog(path), list[tuple[str, Outcome]]()
    for name in catalog.datasets if dataset is None else [dataset]:
        night += [(name, outcome) for outcome in _night_of(catalog, name, run, tell)]
    return [*night, *_edited(path, catalog)]


def _night_of(catalog: Catalog, name: str, run: Run, tell: Sequence[Tell]) -> list[Outcome]:
    try:
        with open_book(catalog, name, tell, patient=True) as book, rehearsals(local_workers()) as rehearse:
            outcomes = with_afterwards(catalog, name, partial(_audited, catalog, name, run, book), rehearse)
            outcomes += behind_night(catalog, name, outcomes)
            book.end(outcomes)
            return outcomes
    except LeaseError as error:  # a night that is longer than a day
        return [Outcome("", "note", code="LEASED", message=f"{error}; this one is skipped")]
    except SRError as error:
        return [Outcome("", "failed", error.code, str(error))]
    except Exception as error:  # whatever is wrong with a dataset, the others go on
        entry = catalog.datasets.get(name)
        if entry is not None and entry.hides_names:  # its words, and those of a traceback, may be names of files
            where = traceback.format_tb(error.__traceback__)[-1].strip()
            log.error("dataset %s: %s", name, where)
            return [Outcome("", "failed", "UNEXPECTED", type(error).__name__)]
        log.exception("dataset %s", name)
        return [Outcome("", "failed", "UNEXPECTED", f"{type(error).__name__}: {error}")]


def _edited(path: Path, before: Catalog) -> Night:
    """A note where the catalog is another one now."""
    try:
        if load_catalog(path) == before:
            return []
        told = Outcome("", "note", "", "it was edited during the night: what it says now counts from the next one")
    except SRError as error:
        told = Outcome("", "note", error.code, f"it was edited during the night; the next cannot use it: {error}")
    return [("catalog", told)]


def _audited(catalog: Catalog, dataset: str, run: Run, book: Book) -> list[Outcome]:
    """The audit comes first: what is damaged is due, and made again by this very night."""
    return [*audit_share(catalog, dataset), *run(catalog, dataset, book)]


def _subflows(path: Path, run: SceneRun, wanted: Wanted, catalog: Catalog, dataset: str, book: Book) -> list[Outcome]:
    way = Way(WAIT_SECONDS, flow_taker(path, catalog, run), book)
    return each_due(catalog, dataset, flow_do(path, catalog, run), wanted=wanted, way=way)


def _plain(wanted: Wanted, reached: Reached, catalog: Catalog, dataset: str, book: Book) -> list[Outcome]:
    with scene_runner(local_workers(), reached.watch(plain)) as run:
        way = Way(WAIT_SECONDS, book=book)
        return each_due(catalog, dataset, done_by(catalog, run), wanted=wanted, way=way)


def night_state(night: Night) -> State[Any]:
    """Failed when a scene failed that did not fail so before; the message is the summary."""
    fails = any(outcome.fails for _, outcome in night)
    return (Failed if fails else Completed)(message=summary(night))


def summary(night: Night) -> str:
    """One line: '38 published, 2 failed: s2/T32 (BAD_SOURCE), s2/T33 (TILE_FAILED); note: ct: ...'."""
    counts = Counter(outcome.result for _, outcome in night)
    line = ", ".join(f"{counts[result]} {result}" for result in get_args(Result) if counts[result] and result != "note")
    bad = _named([(name, outcome) for name, outcome in night if outcome.fails])
    old = _named([(name, outcome) for name, outcome in night if outcome.old and outcome.result != "ignored"])
    notes = [f"note: {name}: {outcome.message}" for name, outcome in night if outcome.result == "note"]
    told = [f"{line}: {bad}" if bad else line or "no scenes", *([f"as before: {old}"] if old else [])]
    return "; ".join([*told, *notes[:MAX_NAMED]])


def _named(night: Night) -> str:
    names = [f"{name}/{outcome.scene} ({outcome.code})".replace("/ ", " ") for name, outcome in night[:MAX_NAMED]]
    return ", ".join(names) + (" ..." if len(night) > MAX_NAMED else "")


def main(
    catalog: Annotated[Path | None, typer.Option(help="Catalog; SRCORE_CATALOG or data_catalog.yaml.")] = None,
    dataset: Annotated[str | None, typer.Option(help="This dataset only.")] = None,
    limit: Annotated[int | None, typer.Option(help="Scenes of each dataset, at most.")] = None,
    force: Annotated[bool, typer.Option(help="Scenes that are up to date or in quarantine, too.")] = False,
    outdated: Annotated[bool, typer.Option(help="Scenes of another version of srcore or champion, too.")] = False,
) -> None:
    """Do every due scene. Exit 0: no new failure, 1: some failed, 2: the catalog cannot be used, 130: interrupted."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")  # read when dispatch imports Dask
    wanted = Wanted(limit, force, outdated)
    try:
        path = (catalog or load_settings().catalog).absolute()
        load_catalog(path)
        state = _in_prefect(path, dataset, wanted) if PREFECT_API_URL.value() else None
        if state is None:
            with interruptible() as reached:
                state = night_state(run_night(path, dataset, partial(_plain, wanted, reached), (Lines(log.info),)))
    except SRError as error:
        typer.echo(f"error: {error} [{error.code}]", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(state.message, err=state.is_failed())
    raise typer.Exit(1 if state.is_failed() else 0)


def _in_prefect(path: Path, dataset: str | None, wanted: Wanted) -> State[Any] | None:
    """The night as a flow; None when the server does not answer and nothing was done, which is said."""
    _ENDED.clear()
    try:
        with tagged(*([dataset] if dataset else [])):
            return nightly(str(path), dataset, *astuple(wanted), return_state=True)
    except Exception as error:
        server_went_away(error)
        if not _ENDED:
            return None
        typer.echo(f"the Prefect server did not hear how the night ended: {error}", err=True)
        return night_state(_ENDED[0])


if __name__ == "__main__":
    typer.run(main)
