"""The command line `srcore`. Exit codes: 0 ok, 1 a run failed, 2 bad usage or input, 3 a gate stopped the product."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from srcore import __version__
from srcore.errors import SRError

app = typer.Typer(
    help="Super-resolution of imagery archives: exact tiles, verified products, every night.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
catalog_app = typer.Typer(help="Look at the catalog, or check it.", no_args_is_help=True)
models_app = typer.Typer(help="Look at the models that are there.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")
app.add_typer(models_app, name="models")

out = Console(soft_wrap=True, highlight=False)

CatalogOption = Annotated[Path | None, typer.Option("--catalog", help="The catalog; default: data_catalog.yaml.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=0, help="Local worker processes; 0: none, in this process. Default: cores.")
]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", help="Address of a running Dask scheduler.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    context.obj = debug
    if version:
        out.print(f"srcore {__version__}")
        raise typer.Exit


@app.command()
def upscale(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A raster or a NIfTI volume; '{band}' in the name "
                                          "joins one file a band.")],
    output: Annotated[Path, typer.Argument(help="The product: .tif for a raster, .nii or .nii.gz for a volume.")],
    model: Annotated[str, typer.Option(help="Built-in model, or a checkpoint folder.")] = "srcore-x2",
    scale: Annotated[str | None, typer.Option(help="N or z,y,x: refuse a model of another scale.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands by name or number, comma-separated.")] = None,
    nodata: Annotated[float | None, typer.Option(help="The number for 'nothing here', where the file has none.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    tile: Annotated[int | None, typer.Option(min=16, help="Core of a tile in LR pixels.")] = None,
    validate: Annotated[bool, typer.Option(help="Let the gates stop the product.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    until: Annotated[str, typer.Option(help="Stop behind plan, ingest, upscale, export or validate.")] = "publish",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Super-resolve one scene: INPUT to OUTPUT, with its STAC item, quicklook, report and receipt."""
    from flows.direct import direct_job
    from flows.progress import bars
    from flows.scene import STAGES, run_scene

    _choice("--until", until, (*STAGES, "publish"))
    _choice("--device", device, ("auto", "cpu", "cuda"))
    _choice("--precision", precision, ("auto", "float32", "bfloat16"))
    where = _workers(workers, scheduler)
    job = direct_job(
        source, output, model=model, scale=_scale(scale), bands=tuple(bands.split(",")) if bands else None,
        nodata=nodata, device=device, precision=precision, workers=where.resolved, tile=tile, validate=validate,
        overwrite=overwrite,
    )  # fmt: skip
    with bars(show=not as_json) as call:
        receipt = run_scene(job, where, call, until)
    if as_json:
        _print_json(asdict(receipt) if receipt else {"stopped_behind": until})
    elif receipt is None:
        out.print(f"stopped behind {until}; run again without --until to go on")
    else:
        for written in receipt.outputs:
            out.print(f"{receipt.verdict}: {job.product.folder / written.name}")


@app.command()
def run(
    dataset: Annotated[str, typer.Argument(help="A dataset of the catalog.")],
    catalog: CatalogOption = None,
    scene: Annotated[str | None, typer.Option(help="Only this scene.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many due scenes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do also what is up to date or quarantined.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish every scene of a dataset that is due."""
    from flows.progress import bars
    from flows.scene import run_dataset, run_scene

    if dry_run:
        status(dataset, catalog, as_json)
        return
    where = _workers(workers, scheduler)
    with bars(show=not as_json) as call:
        outcomes = run_dataset(
            _catalog(catalog), dataset, lambda job: run_scene(job, where, call), scene=scene, limit=limit, force=force
        )
    if as_json:
        _print_json([{**asdict(outcome), "receipt": None} for outcome in outcomes])
    else:
        _print_outcomes(dataset, outcomes)
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def status(
    dataset: Annotated[str | None, typer.Argument(help="A dataset of the catalog; default: all.")] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where every scene stands: new, changed, published or quarantined, and why."""
    from flows.scene import scene_states
    from srcore.catalog import load_catalog

    loaded = load_catalog(_catalog(catalog))
    names = [dataset] if dataset is not None else list(loaded.datasets)
    rows = [(name, state) for name in names for state in scene_states(loaded, name)]
    if as_json:
        _print_json([{"dataset": name, "scene": s.scene, "state": s.state, "reason": s.reason} for name, s in rows])
        return
    table = Table("dataset", "scene", "state", "reason")
    for name, state in rows:
        table.add_row(name, state.scene, state.state, state.reason)
    out.print(table)


@catalog_app.command("list")
def catalog_list(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """The datasets, what they hold, and when they run."""
    from srcore.catalog import load_catalog
    from srcore.storage.sources import find_scenes

    loaded = load_catalog(_catalog(catalog))
    rows = [(name, entry, len(find_scenes(entry, loaded.base))) for name, entry in loaded.datasets.items()]
    if as_json:
        _print_json([{"dataset": name, "scenes": scenes, **entry.model_dump(mode="json")} for name, entry, scenes in rows])
        return
    table = Table("dataset", "kind", "scenes", "model", "schedule", "source")
    for name, entry, scenes in rows:
        table.add_row(name, entry.kind, str(scenes), entry.model, entry.schedule or "on demand", entry.source)
    out.print(table)


@catalog_app.command("check")
def catalog_check(catalog: CatalogOption = None) -> None:
    """Read the catalog and every model it names; say what is wrong with them."""
    from srcore.catalog import load_catalog
    from srcore.checkpoints import locate, read_spec

    path = _catalog(catalog)
    loaded = load_catalog(path)
    for entry in loaded.datasets.values():
        read_spec(locate(entry.model))
    out.print(f"{path}: {len(loaded.datasets)} datasets, all valid")


@catalog_app.command("schema")
def catalog_schema_() -> None:
    """JSON Schema of a catalog, for editors."""
    from srcore.catalog import catalog_schema

    _print_json(catalog_schema())


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """The built-in models."""
    from srcore.checkpoints import BUILTIN, builtin_names, read_spec

    specs = [read_spec(BUILTIN / name) for name in builtin_names()]
    if as_json:
        _print_json([spec.model_dump(mode="json") for spec in specs])
        return
    table = Table("model", "architecture", "scale", "halo", "digest")
    for spec in specs:
        table.add_row(spec.name, spec.architecture.name, "x".join(map(str, spec.scale)), str(spec.halo[-1]),
                      spec.digest[:12])  # fmt: skip
    out.print(table)


@models_app.command("show")
def models_show(model: str) -> None:
    """The spec and the card of a model."""
    from srcore.checkpoints import locate, read_spec

    folder = locate(model)
    _print_json(read_spec(folder).model_dump(mode="json"))
    out.print((folder / "README.md").read_text())


@models_app.command("verify")
def models_verify(model: str) -> None:
    """Load a model: digest, tensors, and the numeric probe of its halo."""
    from srcore.checkpoints import locate
    from srcore.engine import open_engine

    engine = open_engine(locate(model), "cpu", "float32")
    out.print(f"{engine.spec.name}: weights, halo {engine.spec.halo[-1]} px and scale {engine.spec.scale[-1]} verified")


def _workers(count: int | None, scheduler: str | None) -> Any:
    """Options before settings before defaults."""
    from srcore.dispatch import Workers
    from srcore.settings import load_settings

    settings = load_settings()
    if count is not None and scheduler is None:
        return Workers(count)
    return Workers(count if count is not None else settings.workers, scheduler or settings.scheduler)


def _catalog(path: Path | None) -> Path:
    from srcore.settings import load_settings

    return path or load_settings().catalog


def _scale(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither N nor z,y,x", param_hint="--scale") from None


def _choice(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}", param_hint=option)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _print_outcomes(dataset: str, outcomes: list[Any]) -> None:
    if not outcomes:
        out.print(f"{dataset}: no scenes found")
        return
    if all(outcome.result == "up to date" for outcome in outcomes):
        out.print(f"{dataset}: all {len(outcomes)} scenes are up to date, nothing to do")
        return
    table = Table("scene", "result", "seconds", "note")
    for outcome in outcomes:
        table.add_row(outcome.scene, outcome.result, f"{outcome.seconds:.1f}", outcome.message)
    out.print(table)


def main() -> NoReturn:
    """Run the command line; an SRError is one line on stderr and its exit code."""
    debug = "--debug" in sys.argv
    try:
        app()
    except SRError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)


if __name__ == "__main__":
    main()
