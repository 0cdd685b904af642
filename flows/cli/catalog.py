"""Commands for the catalog: init, list, add, check, schema, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    CatalogOption,
    DatasetArgument,
    JsonOption,
    ModelOption,
    chosen_catalog,
    made,
    out,
    print_json,
)

catalog_app = typer.Typer(help="Look at the catalog, check it, or add to it.", no_args_is_help=True)


def init(
    folder: Annotated[Path, typer.Argument(help="Where data_catalog.yaml goes; never over one.")] = Path(),
) -> None:
    """Write a catalog without an entry, with comments, and say what comes next."""
    from srcore.run.entry import write_new

    path = made(folder) / "data_catalog.yaml"
    write_new(path)
    out.print(f"wrote {path}")
    there = "" if folder == Path() else f" --catalog {path}"
    typer.echo(f"next: srcore catalog add my-scenes './incoming/*.tif'{there}")


@catalog_app.command("add")
def catalog_add(
    name: Annotated[str, typer.Argument(help="Of the dataset: letters, digits, '.', '_' and '-'.")],
    glob: Annotated[
        list[str],
        typer.Argument(
            metavar="GLOB", help="Its files, in quotes: './in/*.tif', or './in/{scene}_{band}.tif' for one file a band."
        ),
    ],
    model: ModelOption = "srcore-x2",
    schedule: Annotated[str | None, typer.Option(help="Cron, as '0 2 * * *'; without it: on demand.")] = None,
    catalog: CatalogOption = None,
) -> None:
    """Add a dataset to the catalog: kind and bands from the first file; comments and order of the catalog stay."""
    from srcore.run.entry import add_entry

    if len(glob) > 1:
        told = f"{len(glob)} names in place of one: the shell put in the files; put the pattern in quotes"
        raise typer.BadParameter(told, param_hint="GLOB")
    path = chosen_catalog(catalog)
    added = add_entry(path, name, glob[0], model, schedule)
    out.print(f"added to {path}:")
    for line in added.lines:
        typer.echo(f"  {line}")
    for told in added.assumed[1:]:
        typer.echo(f"assumed: {told}")
    typer.echo(f"next: srcore run {name} --dry-run")


@catalog_app.command("list")
def catalog_list(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """The datasets, what they hold, and when they run."""
    from rich.table import Table

    from srcore.catalog import load_catalog
    from srcore.errors import SourceError
    from srcore.storage.archive.sources import find_scenes

    loaded = load_catalog(chosen_catalog(catalog))
    counts: dict[str, int | None] = {}
    for name, entry in loaded.datasets.items():
        try:
            counts[name] = len(find_scenes(entry, loaded.base))
        except SourceError as error:  # elsewhere, and cannot be asked now: the others are told all the same
            typer.echo(f"{name}: {error}", err=True)
            counts[name] = None
    rows = [(name, entry, counts[name]) for name, entry in loaded.datasets.items()]
    if as_json:
        print_json([{"dataset": name, "scenes": count, **entry.model_dump(mode="json")} for name, entry, count in rows])
        return
    table = Table("dataset", "kind", "scenes", "model", "schedule", "source")
    for name, entry, scenes in rows:
        table.add_row(
            name,
            entry.kind,
            "?" if scenes is None else str(scenes),
            entry.model,
            entry.schedule or "on demand",
            str(entry.source),
        )
    out.print(table)


@catalog_app.command("check")
def catalog_check(catalog: CatalogOption = None) -> None:
    """Read the catalog, count the scenes of every dataset, and read its model; exit 2 and say all that is wrong."""
    from srcore.catalog import load_catalog
    from srcore.run.missing import dataset_errors

    path = chosen_catalog(catalog)
    loaded, wrong = load_catalog(path), 0
    for name in loaded.datasets:
        scenes, errors = dataset_errors(loaded, name)
        out.print(f"{name}: {scenes} scenes")
        for error in errors:
            print(f"error: {name}: {error} [{error.code}]", file=sys.stderr)
        wrong += len(errors)
    if wrong:
        raise typer.Exit(2)
    out.print(f"{path}: {len(loaded.datasets)} datasets, all valid")


@catalog_app.command("schema")
def catalog_schema_() -> None:
    """JSON Schema of a catalog, for editors."""
    from srcore.catalog import catalog_schema

    print_json(catalog_schema())


@catalog_app.command("export")
def catalog_export(
    dataset: DatasetArgument,
    to: Annotated[Path, typer.Argument(metavar="OUT.parquet", help="The file; its folder is there.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older GeoParquet file.")] = False,
    restricted: Annotated[bool, typer.Option("--restricted", help="Of a restricted dataset, too.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Write the STAC items of a dataset's products as one stac-geoparquet file; needs `srcore[parquet]`."""
    from srcore.catalog import load_catalog
    from srcore.storage.stac.parquet import export_items

    loaded = load_catalog(chosen_catalog(catalog))
    done = export_items(loaded, dataset, to, overwrite=overwrite, restricted=restricted)
    out.print(f"wrote {done.items} items of {dataset} to {to}")
    if done.placeless:
        shown, more = ", ".join(done.placeless[:6]), " ..." if len(done.placeless) > 6 else ""
        typer.echo(f"left out, without a place on the globe: {len(done.placeless)} ({shown}{more})", err=True)
