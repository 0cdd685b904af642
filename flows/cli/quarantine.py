"""Commands for scenes in quarantine: list, show, retry, ignore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli import complete
from flows.cli.options import (
    AnyDatasetArgument,
    CatalogOption,
    DatasetArgument,
    JsonOption,
    chosen_catalog,
    out,
    print_json,
    user_name,
)

if TYPE_CHECKING:
    from srcore.catalog import Catalog
    from srcore.storage.archive.quarantine import Quarantine

quarantine_app = typer.Typer(
    help="Look at what failed, and say whether to try it again or to leave it alone.", no_args_is_help=True
)

ScenesArgument = Annotated[
    list[str],
    typer.Argument(help="Scenes, as `srcore quarantine list` names them.", autocompletion=complete.scenes),
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; default: the user's name.")]


@quarantine_app.command("list")
def quarantine_list(
    dataset: AnyDatasetArgument = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every scene in quarantine: why, how often it was tried, and what was decided."""
    from rich.table import Table

    from srcore.catalog import load_catalog
    from srcore.storage.archive.quarantine import find_quarantined

    loaded = load_catalog(chosen_catalog(catalog))
    names = [dataset] if dataset is not None else list(loaded.datasets)
    found = [(name, *one) for name in names for one in find_quarantined(_record(loaded, name, "x").parent)]
    rows = [{"dataset": name, "scene": scene, **_facts(record)} for name, scene, record in found]
    if as_json:
        print_json(rows)
        return
    table = Table("dataset", "scene", "code", "attempts", "last", "next", "message")
    for row in rows:
        table.add_row(*map(str, row.values()))
    out.print(table)


@quarantine_app.command("show")
def quarantine_show(dataset: DatasetArgument, scene: str, catalog: CatalogOption = None) -> None:
    """The whole record of a scene, with its log, as JSON."""
    from srcore.catalog import load_catalog

    print_json(asdict(_load(_record(load_catalog(chosen_catalog(catalog)), dataset, scene))))


@quarantine_app.command("retry")
def quarantine_retry(
    dataset: DatasetArgument,
    scenes: ScenesArgument,
    by: ByOption = None,
    why: Annotated[str, typer.Option("--why", help="Why it should succeed now.")] = "",
    catalog: CatalogOption = None,
) -> None:
    """Make scenes due: the next run tries them once more."""
    _decide(catalog, dataset, scenes, ("retry", by, why))


@quarantine_app.command("ignore")
def quarantine_ignore(
    dataset: DatasetArgument,
    scenes: ScenesArgument,
    why: Annotated[str, typer.Option("--why", help="Why it is given up.")],
    by: ByOption = None,
    catalog: CatalogOption = None,
) -> None:
    """Leave scenes alone until their source changes: no run tries them or counts them as failed."""
    _decide(catalog, dataset, scenes, ("ignore", by, why))


def _decide(
    catalog: Path | None, dataset: str, scenes: list[str], said: tuple[Literal["ignore", "retry"], str | None, str]
) -> None:
    from srcore.catalog import load_catalog

    what, by, why = said
    loaded = load_catalog(chosen_catalog(catalog))
    paths = [_record(loaded, dataset, scene) for scene in scenes]
    records = [_load(path) for path in paths]  # all of them, before the first is changed
    for path, record in zip(paths, records, strict=True):
        record.decided(what, by or user_name(), why).save(path)
        told = "the next run tries it again" if what == "retry" else "left alone until its source changes"
        out.print(f"{dataset}/{record.scene}: {told}")


def _record(catalog: Catalog, dataset: str, scene: str) -> Path:
    from srcore.errors import CatalogError
    from srcore.layout import SAFE_ID, DatasetPaths

    catalog.dataset(dataset)  # refuses an unknown one
    if not SAFE_ID.fullmatch(scene):
        raise CatalogError(f"{scene!r} is not the name of a scene", "", "see `srcore quarantine list`")
    return DatasetPaths(Path(catalog.store) / dataset).quarantine(scene)


def _load(path: Path) -> Quarantine:
    from srcore.errors import CatalogError
    from srcore.storage.archive.quarantine import Quarantine
    from srcore.storage.disk.store import exists

    record = Quarantine.load(path)
    if record is None:
        what = "its record cannot be read: the next run tries it again" if exists(path) else "no record"
        raise CatalogError(f"{path.stem} is not in quarantine", what, "see `srcore quarantine list`")
    return record


def _facts(record: Quarantine | None) -> dict[str, str | int]:
    if record is None:
        unread = "its record cannot be read"
        return {"code": "BAD_STORE", "attempts": 0, "when": "", "next": "the next run", "message": unread}
    decision, then = record.decision, "the next run" if record.retryable else "when something changes"
    if decision is not None and decision.what != "lapsed":
        then = f"{decision.what} ({decision.by}, {decision.when}): {decision.why}"
    facts: dict[str, str | int] = {"code": record.code, "attempts": record.attempts, "when": record.when}
    return {**facts, "next": then, "message": record.message}
