"""The command status: where every scene of a catalog stands, what needs a person, and how far a night is."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.notes import notes
from flows.cli.options import AnyDatasetArgument, CatalogOption, JsonOption, chosen_catalog, out, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from srcore.catalog import Catalog
    from srcore.run.attention import Needed, Standing
    from srcore.storage.archive.nights import Running

NAMED = 20
"""Things that need a person, by their names; the table and --json have all."""
WATCH_SECONDS = 1.0
BAR = 40
"""Signs of the bar of a night, as wide as the narrowest terminal."""


def status(
    dataset: AnyDatasetArgument = None,
    catalog: CatalogOption = None,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Only what another version of srcore or another champion published.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="How far the running night is, until it ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Where every scene stands: new, changed, running, published, quarantined, gone or excluded, and why.

    Exit 1 when something needs a person, and which: a scene in quarantine that nobody ignores, a product whose source
    is gone, damage that an audit found, a last night that failed or was interrupted. With --json one object: totals,
    attention, nights, scenes. With --watch a line or, with --json, an object a line for each step of a running night.
    """
    if watch:
        _watch(dataset, catalog, as_json=as_json)
        return
    if show_standing(dataset, catalog, outdated, as_json):
        raise typer.Exit(1)


def show_standing(dataset: str | None, catalog: Path | None, outdated: bool, as_json: bool) -> list[Needed]:
    """Print where every scene stands; gives what needs a person."""
    from srcore.catalog import load_catalog
    from srcore.run.attention import needed

    loaded = load_catalog(chosen_catalog(catalog))
    names = [dataset] if dataset is not None else list(loaded.datasets)
    found = [_standing(loaded, name) for name in names]
    rows = [row for one in found for row in _rows(loaded, one, outdated=outdated)]
    attention = [need for one in found for need in needed(one)]
    if as_json:
        print_json(_document(found, rows, attention))
        return attention
    _print_table(rows)
    for name in names:
        out.print(f"{name}: {_read_again(loaded, name)}")
    for line in _lines(found, attention):
        out.print(line)
    return attention


def _document(found: Sequence[Standing], rows: Sequence[dict[str, Any]], attention: Sequence[Needed]) -> dict[str, Any]:
    nights = {
        one.dataset: {
            "last": asdict(one.nights.last) if one.nights.last else None,
            "running": asdict(one.running) if one.running else None,
        }
        for one in found
    }
    totals: dict[str, Any] = {"scenes": sum(bool(row["scene"]) for row in rows), "attention": len(attention)}
    states = dict(Counter(row["state"] for row in rows if row["scene"]))
    return {
        "totals": {**totals, "states": states},
        "attention": [asdict(one) for one in attention],
        "nights": nights,
        "scenes": list(rows),
    }


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("dataset", "scene", "state", "reason", "notes")
    for row in rows:
        table.add_row(row["dataset"], row["scene"], row["state"], row["reason"], str(len(row["flags"]) or ""))
    out.print(table)
    for line in notes((row["scene"], row["flags"]) for row in rows):
        typer.echo(line)


def _lines(found: Sequence[Standing], attention: Sequence[Needed]) -> Iterator[str]:
    """The night of each dataset, and what needs a person."""
    for one in found:
        if one.running is not None:
            yield f"{one.dataset}: a night runs: {one.running.words}"
        elif one.nights.last is not None:
            last = one.nights.last
            left = f", {last.left} left" if last.left else ""
            how = "failed" if last.new_failures or not last.failed else "without a product as before"
            told = f"{last.published} published, {last.failed} {how}{left}"
            yield f"{one.dataset}: last night, {last.began}: {told}"
    for need in attention[:NAMED]:
        yield f"needs a person: {'/'.join(filter(None, (need.dataset, need.scene)))}: {need.why}"
    if len(attention) > NAMED:
        yield f"needs a person: {len(attention) - NAMED} more; see the table, or --json"


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


def _standing(catalog: Catalog, name: str) -> Standing:
    from srcore.errors import SourceError, SRError
    from srcore.run.attention import Standing, nights_of
    from srcore.run.missing import gone_products, nothing_found
    from srcore.run.states import scene_states

    try:
        states = scene_states(catalog, name)
    except SRError as error:  # a source elsewhere that cannot be asked, or a question: the others are told all the same
        if not isinstance(error, SourceError) and error.code != "PRIVACY_UNSAID":
            raise
        return Standing(name, [], [], error, *nights_of(catalog, name))
    empty = None if states else nothing_found(catalog, name)
    return Standing(name, states, gone_products(catalog, name), empty, *nights_of(catalog, name))


def _rows(catalog: Catalog, standing: Standing, *, outdated: bool) -> list[dict[str, Any]]:
    """A row a scene of the catalog, a row a product whose source is gone, a row a scene that is excluded."""
    from srcore.errors import SourceError
    from srcore.storage.archive.sources import find_excluded

    name, states = standing.dataset, standing.states
    rows: list[tuple[str, str, str]] = [
        (one.scene, one.state, one.reason) for one in states if one.outdated or not outdated
    ]
    if not outdated:
        asked = not isinstance(standing.empty, SourceError)
        excluded = [one.id for one in find_excluded(catalog.dataset(name), catalog.base)] if asked else []
        rows += [(scene, "excluded", "by the key `exclude` of its dataset") for scene in excluded]
        rows += [(one.scene, "gone", f"{one.reason}, which is gone") for one in standing.gone]
        if standing.empty is not None:
            state = "stopped" if standing.empty.code == "PRIVACY_UNSAID" else "no scenes"
            rows.append(("", state, f"{standing.empty.code}: {standing.empty}"))
    flags = {one.scene: list(one.flags) for one in states}
    return [
        {"dataset": name, "scene": scene, "state": state, "reason": reason, "flags": flags.get(scene, [])}
        for scene, state, reason in rows
    ]


def _watch(dataset: str | None, catalog: Path | None, *, as_json: bool) -> None:
    """Say how far the running nights are until none runs, then what they came to."""
    from srcore.catalog import load_catalog
    from srcore.run.attention import nights_of

    loaded = load_catalog(chosen_catalog(catalog))
    names = [dataset] if dataset is not None else list(loaded.datasets)
    for name in names:
        loaded.dataset(name)  # refuses an unknown one
    seen: set[str] = set()
    with _teller(as_json) as tell:
        while running := [one for name in names if (one := nights_of(loaded, name)[1]) is not None]:
            seen |= {one.dataset for one in running}
            tell(running)
            time.sleep(WATCH_SECONDS)
    for name in seen:
        if (last := nights_of(loaded, name)[0].last) is not None and not as_json:
            out.print(f"{name}: the night ended: {last.published} published, {last.failed} failed, {last.left} left")
    if not seen and not as_json:
        out.print("no night runs")


@contextmanager
def _teller(as_json: bool) -> Iterator[Callable[[Sequence[Running]], None]]:
    """A table that is drawn again on a terminal; elsewhere a line, or an object, for each record that is new."""
    told: dict[str, str] = {}

    def lines(running: Sequence[Running]) -> None:
        for one in running:
            if told.get(one.dataset) != one.updated:
                told[one.dataset] = one.updated
                doing = f" ({'; '.join(one.working)})" if one.working else ""
                words = f"{one.dataset}: {one.words}{doing}"
                sys.stdout.write((json.dumps(asdict(one), sort_keys=True) if as_json else words) + "\n")
                sys.stdout.flush()

    if as_json or not sys.stdout.isatty():
        yield lines
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(highlight=False), auto_refresh=False, transient=True) as live:
        yield lambda running: live.update(_picture(running), refresh=True)


def _picture(running: Sequence[Running]) -> Text:
    """What a terminal shows of running nights: words, a bar, and the scenes that are worked on."""
    from rich.text import Text

    lines: list[str] = []
    for one in running:
        full = round(BAR * one.percent / 100)
        lines += [f"{one.dataset}: {one.words}", "#" * full + "." * (BAR - full)]
        lines += [f"  {doing}" for doing in one.working]
    return Text("\n".join(lines))
