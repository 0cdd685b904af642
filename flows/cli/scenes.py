"""Commands for the scenes of a catalog: run, report, demo, serve."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from flows.cli.dry_run import forecasts_json, print_forecast, print_forecasts
from flows.cli.notes import counted, notes
from flows.cli.options import (
    CatalogOption,
    DatasetArgument,
    DryRunOption,
    JsonOption,
    SceneOption,
    SchedulerOption,
    WorkersOption,
    chosen_catalog,
    chosen_workers,
    end_of_flow,
    made,
    out,
    print_json,
)
from flows.cli.upscale import kept, print_product
from flows.cli.window import BboxOption, CrsOption, WindowOption, window_wish
from flows.interrupt import interruptible

if TYPE_CHECKING:
    from srcore.catalog import Catalog
    from srcore.dispatch import Workers
    from srcore.job import Job
    from srcore.run.dataset import Wanted
    from srcore.run.outcome import Outcome
    from srcore.storage.window import WindowWish


def run(
    dataset: DatasetArgument,
    catalog: CatalogOption = None,
    scene: SceneOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many due scenes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do also what is up to date or quarantined.")] = False,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Do also what another version of srcore or another champion published.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for scenes that another run holds.")] = 3600.0,
    window: WindowOption = None,
    bbox: BboxOption = None,
    crs: CrsOption = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the part that --window or --bbox names.")] = None,
    dry_run: DryRunOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish every scene of a dataset that is due. With PREFECT_API_URL set the run shows in the Prefect UI.

    A run without --scene is a night: `srcore status` tells how far it is, and what it came to.
    """
    from srcore.catalog import load_catalog
    from srcore.run.dataset import Wanted

    wish = window_wish(window, bbox, crs)
    if wish is not None or to is not None:
        job = _part(chosen_catalog(catalog), dataset, scene, wish, to)
        _run_part(job, chosen_workers(workers, scheduler), dry_run=dry_run, as_json=as_json)
        return
    if dry_run:
        where = chosen_workers(workers, scheduler)
        _say(chosen_catalog(catalog), dataset, scene, (limit, force, outdated), where, as_json=as_json)
        return
    if os.environ.get("PREFECT_API_URL"):
        _run_as_flow(chosen_catalog(catalog).absolute(), dataset, scene, (limit, force, outdated))
    loaded, where = load_catalog(chosen_catalog(catalog)), chosen_workers(workers, scheduler)
    which = Wanted(limit, force, outdated), wait
    outcomes = _publish_due(loaded, dataset, scene, which, where, show=not as_json)
    if as_json:
        print_json([{**asdict(outcome), "receipt": None} for outcome in outcomes])
    else:
        _print_outcomes(dataset, outcomes)
    # who names a scene wants its product; a night ends well when nothing new is wrong
    if any(outcome.fails or (scene is not None and not outcome.ok) for outcome in outcomes):
        raise typer.Exit(1)


def _publish_due(
    catalog: Catalog,
    dataset: str,
    scene: str | None,
    which: tuple[Wanted, float],
    where: Workers,
    *,
    show: bool,
) -> list[Outcome]:
    """What became of the due scenes, or of the one named; `which`: what is wanted, and seconds to wait for others."""
    from flows.progress import bars, named
    from srcore.run.afterwards import with_afterwards
    from srcore.run.dataset import Way, done_by, each_due
    from srcore.run.night.book import open_book_if_free
    from srcore.run.scene import rehearsals, scene_runner

    wanted, wait_s = which
    with (
        interruptible() as reached,
        bars(show=show) as call,
        scene_runner(where, reached.watch(call)) as run_one,
        rehearsals(where) as rehearse,
        nullcontext() if scene else open_book_if_free(catalog, dataset) as book,
    ):
        do = done_by(catalog, named(run_one, show=show))
        night = partial(each_due, catalog, dataset, do, scene=scene, wanted=wanted, way=Way(wait_s, book=book))
        outcomes = night() if scene else with_afterwards(catalog, dataset, night, rehearse)
        if book is not None:
            book.end(outcomes)
    return outcomes


def _part(catalog: Path, dataset: str, scene: str | None, wish: WindowWish | None, to: Path | None) -> Job:
    """The job of a part of a scene; bad usage where it is not said which, or where to."""
    from srcore.catalog import load_catalog
    from srcore.run.part import part_job

    if wish is None:
        raise typer.BadParameter("it is for a part of a scene: give --window or --bbox", param_hint="--to")
    if scene is None or to is None:
        raise typer.BadParameter("a part is of one scene, and no product of the archive: give --scene and --to")
    return part_job(load_catalog(catalog), dataset, scene, wish, to)


def _run_part(job: Job, where: Workers, *, dry_run: bool, as_json: bool) -> None:
    from flows.progress import bars
    from srcore.run.forecast import forecast
    from srcore.run.scene import run_scene

    if dry_run:
        print_forecast(forecast(job, where), as_json=as_json)
        return
    with interruptible(partial(kept, job)) as reached, bars(show=not as_json) as call:
        receipt = run_scene(job, where, reached.watch(call))
    assert receipt is not None, "it runs to its end"
    print_product(job, receipt, as_json=as_json)


def _say(
    catalog: Path,
    dataset: str,
    scene: str | None,
    which: tuple[int | None, bool, bool],
    where: Workers,
    *,
    as_json: bool,
) -> None:
    """What a run would do: of each scene that is due, and of all together."""
    from srcore.catalog import load_catalog
    from srcore.errors import CatalogError
    from srcore.run.dataset import Wanted
    from srcore.run.forecast import forecasts
    from srcore.run.states import look

    wanted = Wanted(*which)
    states = list(look(load_catalog(catalog), dataset, scene).states)
    if scene is not None and not states:
        raise CatalogError(f"dataset {dataset} has no scene {scene!r}", "", "see `srcore status`")
    due = [one for one in states if one.due or wanted.again(one)][: wanted.limit]
    told = [(one.state, one.reason if one.due else "up to date; asked for all the same") for one in due]
    found = forecasts((one.job for one in due), where.resolved)
    if as_json:
        print_json(forecasts_json(told, found))
    else:
        print_forecasts(dataset, told, found)


def _run_as_flow(catalog: Path, dataset: str, scene: str | None, which: tuple[int | None, bool, bool]) -> NoReturn:
    """The same run as a flow: on the server that PREFECT_API_URL names, in this process.

    `which`: how many scenes at most, whether all, and whether those of another version.
    """
    from flows.nightly import nightly
    from flows.tagged import tagged
    from flows.upscale import upscale_scene

    with tagged(dataset):
        if scene is not None:
            state = upscale_scene(str(catalog), dataset, scene, which[1] or which[2], return_state=True)
        else:
            state = nightly(str(catalog), dataset, *which, return_state=True)
    end_of_flow(state)


def report(
    dataset: DatasetArgument,
    catalog: CatalogOption = None,
) -> None:
    """Make the page of a dataset and its STAC collection again, from what lies in the store, and say where they are."""
    from srcore.catalog import load_catalog
    from srcore.catalog.object_stores import shown
    from srcore.layout import DatasetPaths
    from srcore.report.index import write_index
    from srcore.run.listed import list_products
    from srcore.storage.disk.store import exists

    loaded = load_catalog(chosen_catalog(catalog))
    loaded.dataset(dataset)  # refuses an unknown one
    places = DatasetPaths(Path(loaded.store) / dataset)
    out.print(shown(write_index(places)))
    list_products(loaded, dataset, anew=True)
    if exists(places.collection):
        out.print(shown(places.collection))


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the sample archive and its catalog are, or go.")] = Path(),
    safe: Annotated[
        bool, typer.Option("--safe", help="Only draw three small Sentinel-2 products there, .SAFE.")
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """The sample archive from end to end: made, super-resolved, published, compared with the true HR."""
    from flows.demo import run_demo

    if safe:
        from srcore.samples import make_safes

        for path in make_safes(made(folder)):
            out.print(str(path))
        return
    run_demo(made(folder), chosen_workers(workers, None))


def serve(
    catalog: CatalogOption = None,
    host: Annotated[str | None, typer.Option(help="Beyond loopback only with a password. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 4200.")] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="A Prefect server that runs already, in place of one of its own.")
    ] = None,
    pool: Annotated[str | None, typer.Option(help="Work pool there, one for each store. Default: srcore-HOST.")] = None,
) -> None:
    """Prefect server, the catalog's schedules and the workers on this machine, until Ctrl-C.

    With --server the schedules and workers alone, at a server that others use, too; PREFECT_API_AUTH_STRING is
    user:password for it. PREFECT_API_URL is not read: it says where `srcore run` shows a run.
    """
    if server is None:
        if pool is not None:
            raise typer.BadParameter("a pool is at a server that runs already: give --server, too", param_hint="--pool")
        from flows.serve import serve as serve_flows

        serve_flows(chosen_catalog(catalog), host or "127.0.0.1", port or 4200)
        return
    if host is not None or port is not None:
        raise typer.BadParameter("it says where a server of its own listens: leave it out", param_hint="--host, --port")
    from flows.outside import serve_on

    serve_on(chosen_catalog(catalog), server, pool)


def _print_outcomes(dataset: str, outcomes: list[Outcome]) -> None:
    from rich.table import Table

    scenes = [outcome for outcome in outcomes if outcome.scene]
    if scenes and all(outcome.result == "up to date" and not outcome.message for outcome in scenes):
        out.print(f"{dataset}: all {len(scenes)} scenes are up to date, nothing to do")
    elif scenes:
        table = Table("scene", "result", "seconds", "note")
        for outcome in scenes:
            table.add_row(
                outcome.scene,
                outcome.result,
                f"{outcome.seconds:.1f}",
                outcome.message or counted(outcome.notes),
            )
        out.print(table)
    for outcome in outcomes:
        if not outcome.scene:
            out.print(f"{dataset}: {outcome.code}: {outcome.message}" if outcome.code else outcome.message)
    for line in notes((outcome.scene, outcome.notes) for outcome in outcomes):
        typer.echo(line)
