"""Commands for pairs of HR and LR: collect, check, list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import CatalogOption, DatasetArgument, JsonOption, chosen_catalog, end_of_flow, out, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcore.progress import Progress
    from srcore.training.pairs.table import Row
    from srcore.training.pairs.table import Table as Found

NONE_ACCEPTED = 1

pairs_app = typer.Typer(
    help="Pairs of HR and LR that a model can learn from. Exit status: 0 some are accepted, 1 none is, 2 bad input.",
    no_args_is_help=True,
)


@pairs_app.command("collect")
def pairs_collect(
    dataset: DatasetArgument,
    catalog: CatalogOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also what was checked before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the pairs of a dataset and keep those that are accepted. With PREFECT_API_URL set, as a flow run."""
    from srcore.training.pairs.store import collect_pairs

    path = chosen_catalog(catalog).absolute()
    if os.environ.get("PREFECT_API_URL"):
        from flows.pairs import collect_pairs as flow

        end_of_flow(flow(str(path), dataset, force, return_state=True))
    loaded = _load(path)
    _show(_run(lambda progress: collect_pairs(loaded, dataset, progress, force=force), as_json), as_json)


@pairs_app.command("check")
def pairs_check(dataset: DatasetArgument, catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """What collecting would accept and refuse, with all figures; nothing is written."""
    from srcore.training.pairs.store import check_pairs

    loaded = _load(chosen_catalog(catalog))
    _show(_run(lambda progress: check_pairs(loaded, dataset, progress), as_json), as_json)


@pairs_app.command("list")
def pairs_list(dataset: DatasetArgument, catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """What was collected last."""
    from srcore.layout import DatasetPaths
    from srcore.training.pairs.table import require_table

    loaded = _load(chosen_catalog(catalog))
    loaded.dataset(dataset)
    _show(require_table(DatasetPaths(Path(loaded.store) / dataset).pairs, dataset), as_json)


def _load(path: Path) -> Any:
    from srcore.catalog import load_catalog

    return load_catalog(path)


def _run(work: Callable[[Progress], Found], quiet: bool) -> Found:
    from flows.progress import bars

    with bars(show=not quiet) as drawn:
        found: Found = drawn("pairs", work)
    return found


def _show(found: Found, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
    else:
        _draw(found)
    if not found.accepted:
        raise typer.Exit(NONE_ACCEPTED)


def _draw(found: Found) -> None:
    from rich.table import Table

    table = Table("scene", "verdict", "figures")
    for row in found.rows:
        table.add_row(row.scene, row.code or "pair", _told(row))
    out.print(table)
    for note in found.notes:
        out.print(note)
    out.print(found.in_words())


def _told(row: Row) -> str:
    """Figures, then words."""
    figures = ", ".join(f"{name} {value}" for name, value in row.shown().items())
    return "; ".join(part for part in (figures, row.remarks) if part)
