"""Commands on the registry as a whole: the history of a name, and MLflow's own page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import CatalogOption, JsonOption, chosen_catalog, out, print_json

if TYPE_CHECKING:
    from srcore.layout import DatasetPaths
    from srcore.storage.archive.shadows import Shadowed

SHOWN = 20
"""Scenes in the shadow of a dataset that are told, the newest."""


def models_history(name: str, catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """Every promotion and rollback of a name, by whom and why; and what the catalog's nights say of its models."""
    from rich.table import Table

    from srcore.registry.mlflow_store import open_registry
    from srcore.storage.archive.champions import read_champions
    from srcore.storage.archive.shadows import find_shadows

    changes = open_registry().history(name)
    datasets = dict(_datasets(name, catalog))
    proposals = {one: told for one, places in datasets.items() if (told := read_champions(places.champions).proposal)}
    shadows = {one: found for one, places in datasets.items() if (found := find_shadows(places.shadows))}
    if as_json:
        looks = {one: [asdict(shadowed) for shadowed in found] for one, found in shadows.items()}
        document = {"name": name, "changes": [asdict(one) for one in changes], "proposals": proposals, "shadows": looks}
        print_json(document)
        return
    table = Table("when", "what", "from", "to", "who", "why")
    for one in changes:
        table.add_row(one.when, one.what, one.before, one.after, one.who, one.why)
    out.print(table)
    for dataset, found in shadows.items():
        _print_shadows(dataset, found)
    for dataset, line in proposals.items():
        typer.echo(f"{dataset}: {line}")


def _datasets(name: str, catalog: Path | None) -> Iterator[tuple[str, DatasetPaths]]:
    """Those of the catalog that the name's champion works for; none where no catalog is there, nor named."""
    from srcore.catalog import load_catalog
    from srcore.checkpoints import CHAMPION
    from srcore.layout import DatasetPaths

    path = chosen_catalog(catalog)
    if catalog is None and not path.exists():
        typer.echo(f"note: {path} is not there: of nights and shadows nothing is told", err=True)
        return
    loaded = load_catalog(path)
    for dataset, entry in loaded.datasets.items():
        if entry.model == f"{name}@{CHAMPION}":
            yield dataset, DatasetPaths(Path(loaded.store) / dataset)


def _print_shadows(dataset: str, found: list[Shadowed]) -> None:
    from rich.table import Table

    table = Table("scene", "challenger", "champion", "would be", "consistency", "gain, dB", "stopped by", "when")
    table.title = f"{dataset}, in the shadow: differences to the champion's products"
    for one in found[:SHOWN]:
        cells = [
            f"{one.differences[figure]:+.3g}" if figure in one.differences else ""
            for figure in ("consistency.ratio", "reference.gain")
        ]
        table.add_row(one.scene, one.challenger, one.champion, one.verdict, *cells, ", ".join(one.stopped), one.created)
    out.print(table)
    if len(found) > SHOWN:
        typer.echo(f"{len(found) - SHOWN} more, by --json")


def models_ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of 127.0.0.1.")] = 5000,
) -> None:
    """MLflow's own page on the registry, at this machine alone, until Ctrl-C: runs, curves, pictures, versions."""
    from flows.serve import refuse_taken_port
    from srcore.registry.page import LOOPBACK, page_command, page_environment

    command = page_command(port)
    refuse_taken_port(LOOPBACK, port)
    typer.echo(f"http://{LOOPBACK}:{port}  Ctrl-C stops.")
    sys.stdout.flush()
    os.execve(command[0], command, page_environment())  # in this process: whoever ends it ends the server
