"""Commands for published products: audit, products remove."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import complete
from flows.cli.options import AnyDatasetArgument, CatalogOption, DatasetArgument, chosen_catalog, out, user_name

if TYPE_CHECKING:
    from srcore.catalog import Catalog
    from srcore.run.missing import Published

products_app = typer.Typer(help="Look after published products.", no_args_is_help=True)


def audit(
    dataset: AnyDatasetArgument = None,
    sources: Annotated[bool, typer.Option("--sources", help="Read the sources again, too.")] = False,
    share: Annotated[bool, typer.Option("--share", help="Only what a night would read, by `audit_days`.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Read published products again and compare them with their receipts; exit 1 when one is damaged."""
    from flows.interrupt import interruptible
    from srcore.catalog import load_catalog
    from srcore.run.audit import audit as audit_dataset

    loaded, damaged = load_catalog(chosen_catalog(catalog)), 0
    for name in [dataset] if dataset is not None else list(loaded.datasets):
        days = (loaded.dataset(name).audit_days or 1) if share else None
        with interruptible():
            done = audit_dataset(loaded, name, days=days, sources=sources)
        for scene, error in done.findings:
            out.print(f"{name}/{scene}: {error.code}: {error}")
        out.print(f"{name}: {done}")
        damaged += len(done.findings)
    if damaged:
        raise typer.Exit(1)


@products_app.command("remove")
def products_remove(
    dataset: DatasetArgument,
    scenes: Annotated[
        list[str] | None,
        typer.Argument(help="Scenes, as `srcore status` names them.", autocompletion=complete.scenes),
    ] = None,
    older: Annotated[float | None, typer.Option(min=0, help="Those published more than so many days ago.")] = None,
    gone: Annotated[bool, typer.Option("--gone", help="Those whose source is gone.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be removed.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who removes them; default: the user's name.")] = None,
    why: Annotated[str, typer.Option("--why", help="Why; kept in the record.")] = "",
    catalog: CatalogOption = None,
) -> None:
    """Remove published products: of the scenes that are named, or of all, by --older and --gone. Dry without --yes."""
    from srcore.catalog import load_catalog
    from srcore.layout import DatasetPaths
    from srcore.report.index import write_index
    from srcore.run.listed import list_products
    from srcore.storage.archive.removal import remove_product

    if not scenes and older is None and not gone:
        raise typer.BadParameter("name scenes, or give --older or --gone")
    loaded = load_catalog(chosen_catalog(catalog))
    chosen = _chosen(loaded, dataset, scenes or [], older, gone=gone)
    places = DatasetPaths(Path(loaded.store) / dataset)
    for one in chosen:
        again = "" if one.gone else "; its source is there, so the next run makes it again unless `exclude` names it"
        if not yes:
            out.print(f"would remove {dataset}/{one.scene}, published {one.created}{again}")
        elif remove_product(places, one.product, by or user_name(), why):
            out.print(f"removed {dataset}/{one.scene}, published {one.created}{again}")
    if yes and chosen:
        write_index(places)
        list_products(loaded, dataset, anew=True)
    out.print(f"{dataset}: {len(chosen)} products{'' if yes else '; --yes removes them'}")


def _chosen(catalog: Catalog, dataset: str, scenes: list[str], older: float | None, *, gone: bool) -> list[Published]:
    """The products that are meant; CatalogError for a scene that has none."""
    from srcore.errors import CatalogError
    from srcore.run.missing import published_products

    found = published_products(catalog, dataset)
    if unknown := sorted(set(scenes) - {one.scene for one in found}):
        raise CatalogError(f"dataset {dataset} has no product of {unknown[0]!r}", "", "see `srcore status`")
    wanted = [one for one in found if (not scenes or one.scene in scenes) and (not gone or one.gone)]
    if older is None:
        return wanted
    before = time.time() - older * 86_400
    return [one for one in wanted if one.created and datetime.fromisoformat(one.created).timestamp() < before]
