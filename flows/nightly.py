"""The flow `nightly`: every due scene of every dataset, one after the other; a scene that fails stops no other.

    python -m flows.nightly [--catalog FILE] [--dataset NAME] [--limit N] [--force]

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow, runtime
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed, State

from flows.artifacts import show_table
from flows.scene import Job, Outcome, Receipt, Workers, run_dataset, run_scene
from flows.upscale import local_workers, upscale_scene
from srcore.catalog import load_catalog
from srcore.errors import SRError
from srcore.settings import load_settings

MAX_NAMED = 8
"""Failed scenes that the one line names; the table has all."""

RunJob = Callable[[Job, Workers], Receipt]


def run_name() -> str:
    """The dataset, or 'all'."""
    return str(runtime.flow_run.parameters.get("dataset") or "all")


@flow(name="nightly", flow_run_name=run_name, persist_result=False)
def nightly(catalog: str, dataset: str | None = None, limit: int | None = None, force: bool = False) -> State[Any]:
    """Every due scene of one dataset, or of all, each as a run of `upscale-scene`.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog; all when left out.
        limit: Scenes to do of each dataset, at most.
        force: Do the scenes that are up to date or in quarantine, too.
    """
    outcomes = run_night(Path(catalog), dataset, limit, force, partial(_as_subflow, catalog, force))
    rows = [{"dataset": name, **vars(outcome)} for name, outcome in outcomes]
    show_table(rows, summary(outcomes), "nightly", dataset or "all")
    get_run_logger().info("%s", summary(outcomes))
    return night_state(outcomes)


def run_night(
    catalog: Path, dataset: str | None, limit: int | None, force: bool, run: RunJob
) -> list[tuple[str, Outcome]]:
    """The due scenes of the datasets through `run`; (dataset, outcome) of each. A broken dataset is one failure."""
    names = list(load_catalog(catalog).datasets) if dataset is None else [dataset]
    outcomes: list[tuple[str, Outcome]] = []
    for name in names:
        try:
            done = run_dataset(catalog, name, limit=limit, force=force, workers=local_workers(), run=run)
        except SRError as error:
            done = [Outcome("", "failed", error.code, str(error))]
        outcomes += [(name, outcome) for outcome in done]
    return outcomes


def _as_subflow(catalog: str, force: bool, job: Job, _workers: Workers) -> Receipt:
    state = upscale_scene(catalog, job.dataset, job.scene, force, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if not state.is_completed():
        code, message = (outcome.code, outcome.message) if isinstance(outcome, Outcome) else ("FAILED", state.message)
        raise SRError(message or "the run failed", code=code)
    receipt = Receipt.load(job.product.receipt)
    assert receipt is not None  # a scene that ends well has one
    return receipt


def night_state(outcomes: Sequence[tuple[str, Outcome]]) -> State[Any]:
    """Failed when any scene failed; the message is the summary."""
    failed = any(outcome.outcome == "failed" for _, outcome in outcomes)
    return (Failed if failed else Completed)(message=summary(outcomes))


def summary(outcomes: Sequence[tuple[str, Outcome]]) -> str:
    """One line: '38 published, 2 failed: s2/T32 (BAD_SOURCE), ...'."""
    counts = Counter(outcome.outcome for _, outcome in outcomes)
    line = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=_failed_last))
    failed = [f"{name}/{o.scene} ({o.code})" for name, o in outcomes if o.outcome == "failed"]
    named = ", ".join(failed[:MAX_NAMED]) + (" ..." if len(failed) > MAX_NAMED else "")
    return f"{line}: {named}" if failed else line or "no scenes"


def _failed_last(count: tuple[str, int]) -> tuple[bool, str]:
    return count[0] == "failed", count[0]


def main(
    catalog: Annotated[Path | None, typer.Option(help="Catalog; SRCORE_CATALOG or data_catalog.yaml.")] = None,
    dataset: Annotated[str | None, typer.Option(help="This dataset only.")] = None,
    limit: Annotated[int | None, typer.Option(help="Scenes of each dataset, at most.")] = None,
    force: Annotated[bool, typer.Option(help="Scenes that are up to date or in quarantine, too.")] = False,
) -> None:
    """Do every due scene. Exit 0: none failed, 1: some did, 2: the catalog cannot be used."""
    try:
        path = (catalog or load_settings().catalog).absolute()
        load_catalog(path)
        if PREFECT_API_URL.value():
            state = nightly(str(path), dataset, limit, force, return_state=True)
        else:
            state = night_state(run_night(path, dataset, limit, force, run_scene))
    except SRError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(state.message, err=state.is_failed())
    raise typer.Exit(1 if state.is_failed() else 0)


if __name__ == "__main__":
    typer.run(main)
