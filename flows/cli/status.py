"""The command status: where every scene of a catalog stands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.notes import notes
from flows.cli.options import AnyDatasetArgument, CatalogOption, JsonOption, chosen_catalog, out, print_json

if TYPE_CHECKING:
    from srcore.catalog import Catalog


def status(
    dataset: AnyDatasetArgument = None,
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
