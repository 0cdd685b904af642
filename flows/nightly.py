"""The flow `nightly`: every due scene of every dataset, one after the other; a scene that fails stops no other.

    python -m flows.nightly [--catalog FILE] [--dataset NAME] [--limit N] [--force]

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed

from flows.artifacts import show_shadows, show_table
from flows.interrupt import Reached, interruptible
from flows.service.runs import begin
from flows.upscale import SceneFailed, handed_on, is_unexpected, local_workers, scenes_as_tasks, upscale_scene
from srcore.catalog import Catalog, load_catalog
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.run.afterwards import with_afterwards
from srcore.run.dataset import WAIT_SECONDS, Outcome, Result, Wanted, audit_share, each_due, run_dataset
from srcore.run.scene import plain, rehearsals, scene_runner
from srcore.run.states import SceneState
from srcore.settings import load_settings

log = logging.getLogger(__name__)

MAX_NAMED = 8
"""Failed scenes that the one line names; the table has all."""

Night = list[tuple[str, Outcome]]
"""(dataset, outcome) of every scene."""


def run_name() -> str:
    """The dataset, or 'all'."""
    return str(runtime.flow_run.parameters.get("dataset") or "all")


@flow(name="nightly", flow_run_name=run_name, persist_result=False)
def nightly(
    catalog: str, dataset: str | None = None, limit: int | None = None, force: bool = False, outdated: bool = False
) -> State[Any]:
    """Every due scene of one dataset, or of all, each as a run of `upscale-scene`.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog; all when left out.
        limit: Scenes to do of each dataset, at most.
        force: Do the scenes that are up to date or in quarantine, too.
        outdated: Do the scenes that another version of srcore or another champion published, too.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    wanted = Wanted(limit, force, outdated)
    try:
        catalog = begin(catalog)
        with scenes_as_tasks():
            night = run_night(Path(catalog), dataset, partial(_subflows, Path(catalog), wanted))
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    rows = [_row(name, outcome) for name, outcome in night]
    show_table(rows, summary(night), "nightly", dataset or "all")
    _show_shadows(Path(catalog), night)
    return night_state(night)


def _show_shadows(catalog: Path, night: Night) -> None:
    """Of the datasets that have a share for the shadow."""
    loaded = load_catalog(catalog)
    for name in dict.fromkeys(name for name, _ in night):
        entry = loaded.datasets.get(name)
        if entry is not None and entry.retrain is not None and entry.retrain.shadow:
            show_shadows(DatasetPaths(Path(loaded.store) / name))


def run_night(catalog: Path, dataset: str | None, run: Callable[[str], list[Outcome]]) -> Night:
    """Call `run` for the dataset, or for each of the catalog. A dataset that cannot be looked at is one failure."""
    night: Night = []
    for name in load_catalog(catalog).datasets if dataset is None else [dataset]:
        try:
            with rehearsals(local_workers()) as rehearse:
                outcomes = with_afterwards(load_catalog(catalog), name, partial(_audited, catalog, name, run), rehearse)
        except SRError as error:
            outcomes = [Outcome("", "failed", error.code, str(error))]
        except Exception as error:  # whatever is wrong with a dataset, the others go on
            log.exception("dataset %s", name)
            outcomes = [Outcome("", "failed", "UNEXPECTED", f"{type(error).__name__}: {error}")]
        night += [(name, outcome) for outcome in outcomes]
    return night


def _audited(catalog: Path, dataset: str, run: Callable[[str], list[Outcome]]) -> list[Outcome]:
    """The audit comes first: what is damaged is due, and made again by this very night."""
    return [*audit_share(load_catalog(catalog), dataset), *run(dataset)]


def _subflows(path: Path, wanted: Wanted, dataset: str) -> list[Outcome]:
    catalog = load_catalog(path)
    return each_due(catalog, dataset, partial(_subflow, path, catalog), wanted=wanted, wait_s=WAIT_SECONDS)


def _plain(path: Path, wanted: Wanted, reached: Reached, dataset: str) -> list[Outcome]:
    with scene_runner(local_workers(), reached.watch(plain)) as run:
        return run_dataset(path, dataset, run, **asdict(wanted), wait_s=WAIT_SECONDS)


def _subflow(path: Path, catalog: Catalog, scene: SceneState, force: bool) -> Outcome:
    """A run of `upscale-scene`, which is told what this night knows; also a run that crashed has an outcome."""
    with handed_on(catalog, scene):
        state = upscale_scene(str(path), scene.job.dataset, scene.scene, force, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, SceneFailed):
        return outcome.outcome
    if isinstance(outcome, Outcome):
        return outcome
    return Outcome(scene.scene, "failed", "UNEXPECTED", state.message or state.name or "")


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


def _row(dataset: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "scene": outcome.scene,
        "result": outcome.result,
        "code": outcome.code,
        "message": outcome.message,
        "notes": "; ".join(outcome.notes),
        "seconds": round(outcome.seconds, 1),
    }


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
        if PREFECT_API_URL.value():
            state = nightly(str(path), dataset, limit, force, outdated, return_state=True)
        else:
            with interruptible() as reached:
                state = night_state(run_night(path, dataset, partial(_plain, path, wanted, reached)))
    except SRError as error:
        typer.echo(f"error: {error} [{error.code}]", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(state.message, err=state.is_failed())
    raise typer.Exit(1 if state.is_failed() else 0)


if __name__ == "__main__":
    typer.run(main)
