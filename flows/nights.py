"""What a night shows in Prefect: how far it is, its table, and what nights came to over time. All of it is a view."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.artifacts import address, artifact_key, show_markdown, tried
from srcore.catalog import Catalog
from srcore.catalog.object_stores import on_object_store, shown
from srcore.layout import BREAK, DatasetPaths
from srcore.run.outcome import Outcome
from srcore.storage.archive.nights import Night, Running, read_nights
from srcore.storage.product import archive_ending

Rows = Sequence[tuple[str, Outcome]]
"""(dataset, outcome) of every scene."""

MAX_ROWS = 1000
"""Of the table of a night; what is not in it is counted below it."""
SHOWN = 30
"""Nights in the table of trends; the figures show all that are remembered."""
WORD = 30
"""Signs of a word that fits beside others on a phone; a longer one may be broken behind a sign of BREAKS."""
BREAKS = re.compile(r"([_/.])(?=\w)")
FIRST = ("failed", "damaged", "quarantined", "note", "degraded", "published", "skipped", "ignored", "up to date")
"""What a person looks for comes first."""


class NightProgress:
    """How far a night is, as one progress artifact that lives as long as the night."""

    def __init__(self, key: str) -> None:
        self.key = artifact_key("night", key)
        self.artifact: UUID | None = None

    def __call__(self, running: Running) -> None:
        """Show it; what cannot be shown now is shown the next time."""
        told = f"{running.dataset}: {running.words}"
        if running.working:
            told += f" ({'; '.join(running.working)})"
        percent = round(running.percent, 2)
        if self.artifact is not None:
            tried(update_progress_artifact, self.artifact, percent, description=told)
            return
        made = tried(create_progress_artifact, percent, key=self.key, description=told)
        self.artifact = made if isinstance(made, UUID) else None


def show_night(catalog: Catalog, night: Rows, summary: str, dataset: str) -> None:
    """The night as a list: failures first, each with its report, the record that holds it, and its source."""
    show_markdown(night_list(catalog, night, summary), summary, "nightly", dataset)


def night_list(catalog: Catalog, night: Rows, summary: str) -> str:
    """The list in Markdown. What needed nothing is counted, and what does not fit, too.

    No table: one of six columns is wider than a phone, and than the column that the page has on a desk.
    """
    told = sorted((row for row in night if not _is_quiet(row[1])), key=lambda row: FIRST.index(row[1].result))
    shown = told[:MAX_ROWS]
    start = _start([_source(catalog, *row) for row in shown])
    lines = [summary, ""]
    if told:
        lines += [_line(catalog, name, outcome, start) for name, outcome in shown]
        sources = f", sources in {cell_text(str(start))}" if start is not None else ""
        lines += ["", f"Records and reports are in {cell_text(catalog.shown_store)}{sources}."]
    more = Counter(outcome.result for _, outcome in told[MAX_ROWS:])
    quiet = len(night) - len(told)
    if more:
        left = ", ".join(f"{count} {result}" for result, count in more.items())
        lines += ["", f"**{more.total()} more are not shown here**: {left}. The pages of the store have all."]
    if quiet:
        lines += ["", f"{quiet} scenes were up to date, and are not in the list."]
    return "\n".join(lines) + "\n"


def _source(catalog: Catalog, dataset: str, outcome: Outcome) -> Path | None:
    """The first file of a scene that may be shown."""
    entry = catalog.datasets.get(dataset)
    public = entry is not None and entry.privacy == "public"
    return Path(outcome.source) if public and outcome.source else None


def _start(sources: Sequence[Path | None]) -> Path | None:
    """The folder that all sources are in; None where there is none to show."""
    folders = [source.parent for source in sources if source is not None and source.is_absolute()]
    return Path(os.path.commonpath(folders)) if folders else None


def _is_quiet(outcome: Outcome) -> bool:
    return outcome.result == "up to date" and not outcome.message


def _line(catalog: Catalog, dataset: str, outcome: Outcome, start: Path | None) -> str:
    what = "; ".join([outcome.message, *outcome.notes] if outcome.message else outcome.notes)
    see, source = _links(catalog, dataset, outcome), _source(catalog, dataset, outcome)
    if source is not None:
        here = start is not None and source.is_absolute()  # else an address
        see.append(f"source {_short(source, start) if start is not None and here else cell_text(outcome.source)}")
    name = cell_text("/".join(filter(None, (dataset, outcome.scene))))
    told = f"- **{cell_text(f'{outcome.result} {outcome.code}'.strip())}** {name}"
    told += f", {outcome.seconds:.1f} s" if outcome.seconds else ""
    told += f": {cell_text(what)}" if what else ""
    return f"{told}; {', '.join(see)}" if see else told


def cell_text(text: str) -> str:
    """What Markdown takes for plain text: what a file is called or says makes no link, picture or column."""
    words = (BREAKS.sub(rf"\1{BREAK}", word) if len(word) > WORD else word for word in text.split())
    return re.sub(r"([\\`*_{}\[\]<>()#!|~])", r"\\\1", " ".join(words))


def _links(catalog: Catalog, dataset: str, outcome: Outcome) -> list[str]:
    entry = catalog.datasets.get(dataset)
    if entry is None or not outcome.scene:
        return []
    store = Path(catalog.store)
    places = DatasetPaths(store / dataset)
    product, record = places.product(outcome.scene, archive_ending(entry.form)), places.quarantine(outcome.scene)
    if on_object_store(store):  # a page lies in the folder of its run; the index leads there
        return [] if outcome.ok else [f"quarantine {cell_text(shown(record))}"]
    files = {"report": product.page, "stopped product": record.with_suffix(".html"), "quarantine": record}
    wanted = ("report",) if outcome.ok else ("stopped product", "quarantine")
    return [_link(name, files[name], store) for name in wanted if files[name].exists()]


def _link(name: str, path: Path, store: Path) -> str:
    """Records are no pages: what is served is shown by its address, the rest by its path."""
    served = address(path) if path.suffix == ".html" else ""
    return f"[{name}]({served})" if served.startswith("http") else f"{name} {_short(path, store)}"


def _short(path: Path, start: Path) -> str:
    """A path from where the page says that paths start: a whole one is wider than the page's column."""
    return cell_text(str(path.relative_to(start) if path.is_relative_to(start) else path))


def show_trends(catalog: Catalog, datasets: Iterable[str]) -> None:
    """What the last nights of each dataset came to."""
    for name in datasets:
        nights = read_nights(DatasetPaths(Path(catalog.store) / name)).nights
        if nights:
            many = f"the last {len(nights)} nights" if len(nights) > 1 else "the last night"
            show_markdown(trends(nights), f"{many} of {name}", "trends", name)


def trends(nights: Sequence[Night]) -> str:
    """Figures and a table of nights in Markdown, the newest first."""
    lines = [_figure(nights), ""]
    lines += ["| night | published | failed | left | MP/s | s a scene | GB free |"]
    lines += ["| --- | --: | --: | --: | --: | --: | --: |"]
    lines += [_night_line(night) for night in reversed(nights[-SHOWN:])]
    if len(nights) > SHOWN:
        lines += ["", f"The table has the last {SHOWN} of {len(nights)} nights; the figures have all."]
    return "\n".join(lines) + "\n"


def _night_line(night: Night) -> str:
    cells: list[Any] = [
        f"{datetime.fromisoformat(night.began):%Y-%m-%d %H:%M}{', interrupted' if night.interrupted else ''}",
        night.published,
        night.failed,
        night.left,
    ]
    cells += [f"{night.megapixels_a_second:.3f}", f"{night.seconds_a_scene:.1f}", f"{night.free_bytes / 1e9:,.0f}"]
    return f"| {' | '.join(map(str, cells))} |"


WIDE, HIGH, GAP = 640, 60, 28
"""Of a figure, in pixels; GAP holds its title."""


def _figure(nights: Sequence[Night]) -> str:
    """Bars of four figures over the nights, as a picture inside the page."""
    series: tuple[tuple[str, list[float]], ...] = (
        ("published", [float(night.published) for night in nights]),
        ("failed", [float(night.failed) for night in nights]),
        ("MP/s", [night.megapixels_a_second for night in nights]),
        ("seconds a scene", [night.seconds_a_scene for night in nights]),
        ("disk free, GB", [night.free_bytes / 1e9 for night in nights]),
    )
    parts = [_bars(title, values, index * (HIGH + GAP)) for index, (title, values) in enumerate(series)]
    size = f'width="{WIDE}" height="{len(series) * (HIGH + GAP)}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )
    return f"![nights](data:image/svg+xml;base64,{b64encode(svg.encode()).decode('ascii')})"


def _bars(title: str, values: Sequence[float], top: int) -> str:
    most, step = max(values) or 1.0, WIDE / max(len(values), 20)
    bars = [
        f'<rect x="{index * step:.1f}" y="{top + GAP + HIGH * (1 - value / most):.1f}" '
        f'width="{step * 0.8:.1f}" height="{HIGH * value / most:.1f}" fill="#4a7ab5"/>'
        for index, value in enumerate(values)
    ]
    return f'<text x="0" y="{top + GAP - 8}" fill="#888">{title}, at most {max(values):,.6g}</text>{"".join(bars)}'
