"""The flow `nightly`: every due scene of every dataset, one after the other; a scene that fails stops no other.

    python -m flows.nightly [--catalog FILE] [--dataset NAME] [--limit N] [--force]

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed

from flows.artifacts import show_table
from flows.guard import refuse_unserved
from flows.upscale import SceneFailed, is_unexpected, local_workers, scenes_as_tasks, upscale_scene
from srcore.catalog import load_catalog
from srcore.errors import SRError
from srcore.run.dataset import Outcome, Result, SceneState, run_dataset, run_due, scene_states
from srcore.run.scene import scene_runner
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
        outdated: Do the scenes that another version of srcore published, too.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        refuse_unserved(catalog)
        with scenes_as_tasks():
            night = run_night(Path(catalog), dataset, partial(_subflows, Path(catalog), limit, force, outdated))
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    rows = [_row(name, outcome) for name, outcome in night]
    show_table(rows, summary(night), "nightly", dataset or "all")
    return night_state(night)


def run_night(catalog: Path, dataset: str | None, run: Callable[[str], list[Outcome]]) -> Night:
    """Call `run` for the dataset, or for each of the catalog. A dataset that cannot be looked at is one failure."""
    night: Night = []
    for name in load_catalog(catalog).datasets if dataset is None else [dataset]:
        try:
            outcomes = run(name)
        except SRError as error:
            outcomes = [Outcome("", "failed", error.code, str(error))]
        except Exception as error:  # whatever is wrong with a dataset, the others go on
            log.exception("dataset %s", name)
            outcomes = [Outcome("", "failed", "UNEXPECTED", f"{type(error).__name__}: {error}")]
        night += [(name, outcome) for outcome in outcomes]
    return night


def _subflows(path: Path, limit: int | None, force: bool, outdated: bool, dataset: str) -> list[Outcome]:
    catalog = load_catalog(path)
    outcomes, done = [], 0
    for state in scene_states(catalog, dataset):
        again = force or (outdated and state.outdated)
        if not (state.due or again):
            outcomes.append(run_due(catalog, state, lambda job: None))  # it only says why not
        elif limit is None or done < limit:
            done += 1
            outcomes.append(_subflow(path, dataset, state, again))
    return outcomes


def _plain(path: Path, limit: int | None, force: bool, outdated: bool, dataset: str) -> list[Outcome]:
    with scene_runner(local_workers()) as run:
        return run_dataset(path, dataset, run, limit=limit, force=force, outdated=outdated)


def _subflow(path: Path, dataset: str, scene: SceneState, force: bool) -> Outcome:
    """A run of `upscale-scene`; also a run that crashed has an outcome."""
    state = upscale_scene(str(path), dataset, scene.scene, force, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, SceneFailed):
        return outcome.outcome
    if isinstance(outcome, Outcome):
        return outcome
    return Outcome(scene.scene, "failed", "UNEXPECTED", state.message or state.name or "")


def night_state(night: Night) -> State[Any]:
    """Failed when a scene is without product now; the message is the summary."""
    ok = all(outcome.ok for _, outcome in night)
    return (Completed if ok else Failed)(message=summary(night))


def summary(night: Night) -> str:
    """One line: '38 published, 2 failed: s2/T32 (BAD_SOURCE), s2/T33 (TILE_FAILED)'."""
    counts = Counter(outcome.result for _, outcome in night)
    line = ", ".join(f"{counts[result]} {result}" for result in get_args(Result) if counts[result])
    bad = [f"{name}/{outcome.scene} ({outcome.code})".replace("/ ", " ") for name, outcome in night if not outcome.ok]
    named = ", ".join(bad[:MAX_NAMED]) + (" ..." if len(bad) > MAX_NAMED else "")
    return f"{line}: {named}" if bad else line or "no scenes"


def _row(dataset: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "scene": outcome.scene,
        "result": outcome.result,
        "code": outcome.code,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 1),
    }


def main(
    catalog: Annotated[Path | None, typer.Option(help="Catalog; SRCORE_CATALOG or data_catalog.yaml.")] = None,
    dataset: Annotated[str | None, typer.Option(help="This dataset only.")] = None,
    limit: Annotated[int | None, typer.Option(help="Scenes of each dataset, at most.")] = None,
    force: Annotated[bool, typer.Option(help="Scenes that are up to date or in quarantine, too.")] = False,
    outdated: Annotated[bool, typer.Option(help="Scenes that another version of srcore published, too.")] = False,
) -> None:
    """Do every due scene. Exit 0: none failed, 1: some did, 2: the catalog cannot be used."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")  # read when dispatch imports Dask
    try:
        path = (catalog or load_settings().catalog).absolute()
        load_catalog(path)
        if PREFECT_API_URL.value():
            state = nightly(str(path), dataset, limit, force, outdated, return_state=True)
        else:
            state = night_state(run_night(path, dataset, partial(_plain, path, limit, force, outdated)))
    except SRError as error:
        typer.echo(f"error: {error} [{error.code}]", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(state.message, err=state.is_failed())
    raise typer.Exit(1 if state.is_failed() else 0)


if __name__ == "__main__":
    typer.run(main)
