"""What --dry-run prints: what would be done, its time, disk and memory, and what would be refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.notes import notes
from flows.cli.options import out, print_json

if TYPE_CHECKING:
    from srcore.run.forecast import Forecast, Refused

NOT_FETCHED = "NOT_FETCHED"
"""Code of a scene elsewhere, of which nothing more is known until a run fetches it."""


def print_forecast(one: Forecast, *, as_json: bool) -> None:
    """A scene that would be done."""
    if as_json:
        print_json({**asdict(one), "written": False})
        return
    shape, shape_hr = (" x ".join(map(str, reversed(shape))) for shape in (one.shape, one.shape_hr))
    bands = "1 band" if one.bands == 1 else f"{one.bands} bands"
    core, halo = (" x ".join(map(str, reversed(numbers))) for numbers in (one.core, one.halo))
    for line in (
        f"would make {one.product}: {shape} px to {shape_hr} px, {bands} of {one.dtype}, by {one.model}",
        f"tiles: {one.tiles} of {core} px, halo {halo} px",
        f"time: about {span(one.seconds)} on {_workers(one.workers)} ({one.seconds_by})",
        f"disk: up to {size(one.product_bytes)} for the product and {size(one.scratch_bytes)} of scratch while it runs;"
        f" {size(one.free_bytes)} free",
        f"memory: up to {size(one.memory_bytes)}; {size(one.available_bytes)} free",
    ):
        typer.echo(line)
    for line in notes([("", one.flags)]):
        typer.echo(line)
    typer.echo("nothing was written")


def print_forecasts(dataset: str, states: Sequence[tuple[str, str]], found: Iterable[Forecast | Refused]) -> None:
    """A dataset: a row a scene that would be done, of its state and reason; then what all of it would cost."""
    from rich.table import Table

    from srcore.run.forecast import Refused

    table, done, refused, unseen = Table("scene", "state", "why", "tiles", "time", "product", "scratch"), [], 0, 0
    for (state, why), one in zip(states, found, strict=True):
        if isinstance(one, Refused):
            away = one.code == NOT_FETCHED
            refused, unseen = refused + (not away), unseen + away
            told = "to be fetched first" if away else f"{one.message} [{one.code}]"
            table.add_row(one.scene, state if away else "refused", told, "", "", "", "")
            continue
        done.append(one)
        cells = (str(one.tiles), span(one.seconds), size(one.product_bytes), size(one.scratch_bytes))
        table.add_row(one.scene, state, why, *cells)
    if table.row_count:
        out.print(table)
    typer.echo(_total(dataset, done, refused))
    if unseen:
        typer.echo(f"{unseen} more would be fetched first: what they cost is known then")
    typer.echo("nothing was written")


def forecasts_json(states: Sequence[tuple[str, str]], found: Iterable[Forecast | Refused]) -> list[dict[str, object]]:
    """The same for programs."""
    from srcore.run.forecast import Refused

    return [
        {"state": "refused" if isinstance(one, Refused) and one.code != NOT_FETCHED else state, "reason": why}
        | asdict(one)
        for (state, why), one in zip(states, found, strict=True)
    ]


def _total(dataset: str, done: Sequence[Forecast], refused: int) -> str:
    told = f"{dataset}: {len(done)} would be done" if done else f"{dataset}: nothing would be done"
    if done:
        seconds, kept = sum(one.seconds for one in done), sum(one.product_bytes for one in done)
        scratch, memory = max(one.scratch_bytes for one in done), max(one.memory_bytes for one in done)
        told += f" in about {span(seconds)} ({done[0].seconds_by})"
        told += (
            f", with up to {size(kept)} of products, {size(scratch)} of scratch at a time and {size(memory)} of memory"
        )
    return f"{told}; {refused} would be refused" if refused else told


def _workers(count: int) -> str:
    return {0: "this process", 1: "1 worker"}.get(count, f"{count} workers")


def span(seconds: float) -> str:
    """A time for people, as exact as a projection is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
