"""Commands for the catalog: list, check, schema."""

from __future__ import annotations

import typer

from flows.cli.options import CatalogOption, JsonOption, chosen_catalog, out, print_json

catalog_app = typer.Typer(help="Look at the catalog, or check it.", no_args_is_help=True)


@catalog_app.command("list")
def catalog_list(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """The datasets, what they hold, and when they run."""
    from rich.table import Table

    from srcore.catalog import load_catalog
    from srcore.storage.archive.sources import find_scenes

    loaded = load_catalog(chosen_catalog(catalog))
    rows = [(name, entry, len(find_scenes(entry, loaded.base))) for name, entry in loaded.datasets.items()]
    if as_json:
        print_json([{"dataset": name, "scenes": count, **entry.model_dump(mode="json")} for name, entry, count in rows])
        return
    table = Table("dataset", "kind", "scenes", "model", "schedule", "source")
    for name, entry, scenes in rows:
        table.add_row(name, entry.kind, str(scenes), entry.model, entry.schedule or "on demand", entry.source)
    out.print(table)


@catalog_app.command("check")
def catalog_check(catalog: CatalogOption = None) -> None:
    """Read the catalog and every model it names; say what is wrong with them."""
    from srcore.catalog import load_catalog
    from srcore.checkpoints import read_spec
    from srcore.registry.references import resolve

    path = chosen_catalog(catalog)
    loaded = load_catalog(path)
    for entry in loaded.datasets.values():
        read_spec(resolve(entry.model).folder)
    out.print(f"{path}: {len(loaded.datasets)} datasets, all valid")


@catalog_app.command("schema")
def catalog_schema_() -> None:
    """JSON Schema of a catalog, for editors."""
    from srcore.catalog import catalog_schema

    print_json(catalog_schema())
