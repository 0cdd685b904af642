"""Commands for scenes: upscale, run, status, report, demo, serve."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from flows.cli.notes import counted, notes
from flows.cli.options import (
    CatalogOption,
    JsonOption,
    RangeOption,
    SchedulerOption,
    ValuesOption,
    WorkersOption,
    check_choice,
    chosen_backend,
    chosen_catalog,
    chosen_workers,
    end_of_flow,
    number_range,
    out,
    print_json,
    values_rule,
)
from flows.interrupt import Reached, interruptible
from srcore.choices import (
    ALPHA_RULES,
    BACK_PROJECTION,
    BACKENDS,
    DEVICES,
    MAX_BACK_PROJECTION,
    MAX_DENOISE,
    MAX_SHARPEN,
    PRECISIONS,
)

if TYPE_CHECKING:
    from srcore.catalog import Catalog
    from srcore.job import Job
    from srcore.run.dataset import Outcome
    from srcore.storage.archive.publish import Receipt

UNGUARDED = 4
"""Exit status of a product that --no-validate let be written."""


def upscale(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A raster or a NIfTI volume; '{band}' in the name joins one file a band."),
    ],
    output: Annotated[Path, typer.Argument(help="The product: .tif for a raster, .nii or .nii.gz for a volume.")],
    model: Annotated[str, typer.Option(help="Built-in model, checkpoint folder, or NAME@champion.")] = "srcore-x2",
    scale: Annotated[str | None, typer.Option(help="N or z,y,x: refuse a model of another scale.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands by name or number, comma-separated.")] = None,
    nodata: Annotated[float | None, typer.Option(help="The DN for 'nothing here', where the file has none.")] = None,
    alpha: Annotated[str, typer.Option(help="A band called alpha: mask, data, or auto: its values tell.")] = "auto",
    values: ValuesOption = "auto",
    valid_range: RangeOption = None,
    date: Annotated[
        str | None, typer.Option(help="When it was taken, or where the name says it: 2023-06-02, *_YYYYMMDD_*.tif.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8.")] = "auto",
    backend: Annotated[str | None, typer.Option(help="auto, eager, fused, compile, openvino or graphs.")] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Core of a tile in LR pixels; up to whole blocks of the product.")
    ] = None,
    back_projection: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_BACK_PROJECTION, help="Steps that make the SR, averaged down, give the input back."
        ),
    ] = BACK_PROJECTION,
    denoise: Annotated[
        float,
        typer.Option(
            min=0,
            max=MAX_DENOISE,
            help="Take noise out of the input first: times the noise that is found, 1 is a good start.",
        ),
    ] = 0.0,
    sharpen: Annotated[
        float,
        typer.Option(min=0, max=MAX_SHARPEN, help="Sharpen the result by so much: 0.2 is seen, much more is stopped."),
    ] = 0.0,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also a map of how far each pixel may be off; eight times the work.")
    ] = False,
    validate: Annotated[bool, typer.Option(help="Let the gates stop the product.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    until: Annotated[str, typer.Option(help="Stop behind plan, ingest, upscale, export or validate.")] = "publish",
    as_json: JsonOption = False,
) -> None:
    """Super-resolve one scene: INPUT to OUTPUT, with its STAC item, quicklook, report and receipt."""
    from flows.progress import bars
    from srcore.job import OUTPUTS
    from srcore.run.direct import direct_job
    from srcore.run.scene import STAGES, run_scene

    check_choice("--until", until, (*STAGES, "publish"))
    check_choice("--alpha", alpha, ALPHA_RULES)
    check_choice("--device", device, DEVICES)
    check_choice("--precision", precision, PRECISIONS)
    check_choice("--backend", chosen_backend(backend), BACKENDS)
    where = chosen_workers(workers, scheduler)
    job = direct_job(
        source,
        output,
        model=model,
        scale=_scale(scale),
        bands=tuple(bands.split(",")) if bands else None,
        nodata=nodata,
        alpha=alpha,
        values=values_rule(values),
        valid_range=number_range(valid_range),
        date=date,
        device=device,
        precision=precision,
        backend=chosen_backend(backend),
        tile=tile,
        validate=validate,
        overwrite=overwrite,
        back_projection=back_projection,
        denoise=denoise,
        sharpen=sharpen,
        outputs=(*OUTPUTS, "trust") if trust else OUTPUTS,
    )
    with interruptible(partial(_kept, job)) as reached, bars(show=not as_json) as call:
        receipt = run_scene(job, where, reached.watch(call), until)
    if as_json:
        print_json(asdict(receipt) if receipt else {"stopped_behind": until})
    elif receipt is None:
        out.print(f"stopped behind {until}; run again without --until to go on")
    else:
        failed = _failed_gates(receipt)
        told = f"written although {failed} was not passed" if failed else receipt.verdict
        beside = [written.name for written in receipt.outputs if written.name != job.product.data.name]
        out.print(f"{told}: {job.product.data}")
        out.print(f"beside it: {', '.join([*beside, job.product.receipt.name])}")
        for line in notes([("", receipt.notes)]):
            typer.echo(line)
    if receipt is not None and receipt.verdict == "quarantined":
        raise typer.Exit(UNGUARDED)


def _failed_gates(receipt: Receipt) -> str:
    """'gate a, gate b': what --no-validate let pass; empty for a product that passed."""
    failed = [check["id"] for check in receipt.checks if check["kind"] == "GATE" and not check["passed"]]
    return ", ".join(f"gate {name}" for name in failed) if receipt.verdict == "quarantined" else ""


def _kept(job: Job, reached: Reached) -> str:
    """Where the work of an interrupted run lies; without a tile there is none, and it goes."""
    from srcore.storage.archive.sweep import sweep_done

    if not reached.tiles:
        sweep_done(job.scratch, job.product)
    return f"they lie in {job.scratch}" if reached.tiles else ""


def run(
    dataset: Annotated[str, typer.Argument(help="A dataset of the catalog.")],
    catalog: CatalogOption = None,
    scene: Annotated[str | None, typer.Option(help="Only this scene.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many due scenes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do also what is up to date or quarantined.")] = False,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Do also what another version of srcore or another champion published.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for scenes that another run holds.")] = 3600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish every scene of a dataset that is due. With PREFECT_API_URL set the run shows in the Prefect UI."""
    from flows.progress import bars
    from srcore.catalog import load_catalog
    from srcore.run.afterwards import with_afterwards
    from srcore.run.dataset import run_dataset
    from srcore.run.scene import rehearsals, scene_runner

    if dry_run:
        status(dataset, catalog, outdated, as_json)
        return
    if os.environ.get("PREFECT_API_URL"):
        _run_as_flow(chosen_catalog(catalog).absolute(), dataset, scene, (limit, force, outdated))
    where = chosen_workers(workers, scheduler)
    with (
        interruptible() as reached,
        bars(show=not as_json) as call,
        scene_runner(where, reached.watch(call)) as run_one,
        rehearsals(where) as rehearse,
    ):
        night = partial(
            run_dataset,
            chosen_catalog(catalog),
            dataset,
            run_one,
            scene=scene,
            limit=limit,
            force=force,
            outdated=outdated,
            wait_s=wait,
        )
        whole = scene is None
        outcomes = (
            with_afterwards(load_catalog(chosen_catalog(catalog)), dataset, night, rehearse) if whole else night()
        )
    if as_json:
        print_json([{**asdict(outcome), "receipt": None} for outcome in outcomes])
    else:
        _print_outcomes(dataset, outcomes)
    # who names a scene wants its product; a night ends well when nothing new is wrong
    if any(outcome.fails or (scene is not None and not outcome.ok) for outcome in outcomes):
        raise typer.Exit(1)


def _run_as_flow(catalog: Path, dataset: str, scene: str | None, which: tuple[int | None, bool, bool]) -> NoReturn:
    """The same run as a flow: on the server that PREFECT_API_URL names, in this process.

    `which`: how many scenes at most, whether all, and whether those of another version.
    """
    from flows.nightly import nightly
    from flows.upscale import upscale_scene

    if scene is not None:
        state = upscale_scene(str(catalog), dataset, scene, which[1] or which[2], return_state=True)
    else:
        state = nightly(str(catalog), dataset, *which, return_state=True)
    end_of_flow(state)


def status(
    dataset: Annotated[str | None, typer.Argument(help="A dataset of the catalog; default: all.")] = None,
    catalog: CatalogOption = None,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Only what another version of srcore or another champion published.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Where every scene stands: new, changed, running, published, quarantined, gone or excluded, and why."""
    from rich.table import Table

    from srcore.catalog import load_catalog

    loaded = load_catalog(chosen_catalog(catalog))
    names = [dataset] if dataset is not None else list(loaded.datasets)
    rows = [row for name in names for row in _standing(loaded, name, outdated=outdated)]
    if as_json:
        print_json(rows)
        return
    table = Table("dataset", "scene", "state", "reason", "notes")
    for row in rows:
        table.add_row(row["dataset"], row["scene"], row["state"], row["reason"], str(len(row["flags"]) or ""))
    out.print(table)
    for line in notes((row["scene"], row["flags"]) for row in rows):
        typer.echo(line)
    for name in names:
        out.print(f"{name}: {_read_again(loaded, name)}")


def _read_again(catalog: Catalog, name: str) -> str:
    """How much of a dataset's products audits have read, and when last."""
    from srcore.layout import DatasetPaths
    from srcore.run.audit import load_reads

    reads = load_reads(DatasetPaths(Path(catalog.store) / name)).values()
    if not reads:
        return "no product was read again yet"
    last = datetime.fromtimestamp(max(read.when for read in reads), UTC).isoformat(timespec="seconds")
    damaged = sum(bool(read.damaged or read.source) for read in reads)
    return f"{len(reads)} products read again, the last at {last}; {damaged} damaged"


def _standing(catalog: Catalog, name: str, *, outdated: bool) -> list[dict[str, Any]]:
    """A row a scene of the catalog, a row a product whose source is gone, a row a scene that is excluded."""
    from srcore.run.missing import gone_products, nothing_found
    from srcore.run.states import scene_states
    from srcore.storage.archive.sources import find_excluded

    states = scene_states(catalog, name)
    rows: list[tuple[str, str, str]] = [
        (one.scene, one.state, one.reason) for one in states if one.outdated or not outdated
    ]
    if not outdated:
        excluded = [scene.id for scene in find_excluded(catalog.dataset(name), catalog.base)]
        rows += [(scene, "excluded", "by the key `exclude` of its dataset") for scene in excluded]
        rows += [(one.scene, "gone", f"{one.reason}, which is gone") for one in gone_products(catalog, name)]
        if not states:
            error = nothing_found(catalog, name)
            rows.append(("", "no scenes", f"{error.code}: {error}"))
    flags = {one.scene: list(one.flags) for one in states}
    return [
        {"dataset": name, "scene": scene, "state": state, "reason": reason, "flags": flags.get(scene, [])}
        for scene, state, reason in rows
    ]


def report(
    dataset: Annotated[str, typer.Argument(help="A dataset of the catalog.")],
    catalog: CatalogOption = None,
) -> None:
    """Make the page of a dataset again, from its receipts and its quarantine, and say where it is."""
    from srcore.catalog import load_catalog
    from srcore.layout import DatasetPaths
    from srcore.report.index import write_index

    loaded = load_catalog(chosen_catalog(catalog))
    loaded.dataset(dataset)  # refuses an unknown one
    out.print(str(write_index(DatasetPaths(Path(loaded.store) / dataset))))


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the sample archive and its catalog are, or go.")] = Path(),
    workers: WorkersOption = None,
) -> None:
    """The sample archive from end to end: made, super-resolved, published, compared with the true HR."""
    from flows.demo import run_demo

    run_demo(folder, chosen_workers(workers, None))


def serve(
    catalog: CatalogOption = None,
    host: Annotated[str, typer.Option(help="Beyond loopback only with a password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 4200,
) -> None:
    """Prefect server, the catalog's schedules and the worker on this machine, until Ctrl-C."""
    from flows.serve import serve as serve_flows

    serve_flows(chosen_catalog(catalog), host, port)


def _scale(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither N nor z,y,x", param_hint="--scale") from None


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
