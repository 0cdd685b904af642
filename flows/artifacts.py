"""What a Prefect run shows besides its states: progress, checks, failed tiles, the quicklook, the night's summary.

A view, no more: when the server is away, a warning goes to the log and the work goes on.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from flows.guard import IN_FORCE, PAGES
from srcore import dispatch
from srcore.catalog import Catalog, load_catalog
from srcore.catalog.object_stores import on_object_store, shown
from srcore.layout import DatasetPaths
from srcore.storage.archive.shadows import find_shadows

if TYPE_CHECKING:
    from srcore.report.evaluation import Evaluation
    from srcore.training.pairs.table import Table

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

UPDATE_SECONDS = 2.0
"""Between two updates of a progress artifact: one costs the run 10 to 25 ms."""
MAX_PICTURE_BYTES = 60_000
"""Of a quicklook that goes into the server's database, once a run; JPEG."""
AWAY_SECONDS = 600.0
"""A server that did not answer is not asked again for so long."""
MAX_ROWS = 1000
"""Of a table; one more says how many there are, and the store has them."""


def artifact_key(*parts: str) -> str:
    """A key that Prefect takes: lower-case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


class StageProgress:
    """Progress of one stage as log lines, a tenth apart, and as a progress artifact where a `key` is given."""

    def __init__(self, stage: str, key: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage, self.key, self.clock = stage, key, clock
        self.artifact: UUID | None = None
        self.shown_at, self.logged_tenth = clock(), -1  # a stage of less than UPDATE_SECONDS needs no bar
        self.began: tuple[float, int] | None = None
        """When the first step was told, and which it was: what an earlier run did says nothing of this one's pace."""

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` steps are done."""
        tenth = 10 * done // max(total, 1)
        if tenth > self.logged_tenth:
            self.logged_tenth = tenth
            get_run_logger().info("%s: %d of %d", self.stage, done, total)
        now = self.clock()
        self.began = self.began or (now, done)
        ends = done >= total and self.artifact is not None
        if self.key is not None and (ends or now - self.shown_at >= UPDATE_SECONDS):
            self.shown_at = now
            self._show(100.0 * done / max(total, 1), f"{self.stage}: {done} of {total}{self._left(now, done, total)}")

    def _left(self, now: float, done: int, total: int) -> str:
        """', 3 min left': by the pace so far; '' at the ends and before there is one."""
        since, first = self.began or (now, done)
        if not first < done < total or now - since < UPDATE_SECONDS:
            return ""
        seconds = (now - since) / (done - first) * (total - done)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"

    def _show(self, percent: float, description: str) -> None:
        if self.artifact is None:
            made = tried(create_progress_artifact, percent, key=self.key, description=description)
            self.artifact = made if isinstance(made, UUID) else None
        elif tried(update_progress_artifact, self.artifact, percent, description=description) is None:
            self.artifact = None
        if self.artifact is None:
            self.key = None  # the server is away: a stage is not held up by asking again


class TileFailures(logging.Handler):
    """While it is entered: the failed attempts at tiles that dispatch tells of, one row each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.here = threading.get_ident()
        self.rows: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record when it is about a tile of this thread's scene."""
        told = vars(record)
        if "tile" in told and record.thread == self.here:
            self.rows.append({"tile": told["tile"], "attempt": told["attempt"], "error": told["reason"]})

    def __enter__(self) -> Self:
        dispatch.log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        dispatch.log.removeHandler(self)


def show_quicklook(picture: Path, dataset: str, scene: str, product: Path) -> None:
    """The quicklook inside a markdown artifact: the UI reads no files, so the picture goes as a data URI."""
    from srcore.report.panels import as_jpeg

    data = b64encode(as_jpeg(picture.read_bytes(), MAX_PICTURE_BYTES)).decode("ascii")
    text = f"`{product}`\n\n![{scene}](data:image/jpeg;base64,{data})\n"
    tried(create_markdown_artifact, text, key=artifact_key("quicklook", dataset, scene), description=scene)


def show_report(page: Path, dataset: str, scene: str) -> None:
    """A link to the report's page."""
    _show_page(page, f"report of {scene}", artifact_key("report", dataset, scene))


def show_map(product: Path, dataset: str, scene: str) -> None:
    """A link to the map of a raster, where the service draws one."""
    page = address(product)
    if page.startswith("http") and product.suffix == ".tif":
        found = page.rsplit("/", 3)[0] + f"/map.html?scene={quote(scene)}"
        what = f"map of {scene}: LR beside SR"
        tried(create_link_artifact, found, link_text=what, key=artifact_key("map", dataset, scene), description=what)


def _show_page(page: Path, what: str, key: str) -> None:
    """A link to a page of the store; browsers open a file from a server's page only when its address is copied."""
    found = address(page)
    copied = found.startswith("file:")
    tried(
        create_link_artifact,
        found,
        link_text=f"{what}: {page}" if copied else what,
        key=key,
        description="Copy the address into a new tab." if copied else what,
    )


@lru_cache(maxsize=1)
def _catalog(path: Path, changed: int) -> Catalog:
    """The catalog in force, read again when it changed."""
    return load_catalog(path)


def address(page: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Of a page of the store: where `srcore serve` shows it, or where it lies, as of data that is restricted."""
    where = shown(page) if on_object_store(page) else page.absolute().as_uri()
    base, copy = environ.get(PAGES), environ.get(IN_FORCE)
    if not base or not copy or not os.path.isfile(copy):
        return where
    catalog = _catalog(Path(copy), os.stat(copy).st_mtime_ns)
    store = Path(catalog.store)
    inside = page.relative_to(store) if page.is_relative_to(store) else None
    entry = catalog.datasets.get(inside.parts[0]) if inside else None
    if inside is None or entry is None or entry.privacy != "public":
        return where
    return f"{base}/{quote(inside.as_posix())}"


def show_evaluation(evaluation: Evaluation, dataset: str) -> None:
    """An evaluation: its plots and gains in a markdown artifact, as pictures inside it, and the scenes as a table."""
    from srcore.report.evaluation import plots  # matplotlib takes a second to import
    from srcore.report.figures import standalone

    lines = [f"Judged {evaluation.form}.", ""]
    lines += [f"- {name}: {gain.signed(3)} dB" for name, gain in evaluation.gains.items()]
    for heading, figure in plots(evaluation):
        picture = b64encode(standalone(figure).encode()).decode("ascii")
        lines.append(f"\n**{heading}**\n\n![{heading}](data:image/svg+xml;base64,{picture})")
    tried(create_markdown_artifact, "\n".join(lines), key=artifact_key("evaluation", dataset), description=dataset)
    rows = [
        {"scene": one.scene, **{f"PSNR {name}": round(found.psnr, 3) for name, found in one.by.items()}}
        for one in evaluation.scenes
    ]
    show_table(rows, f"held-out scenes of {dataset}", "held-out", dataset)
    stopped = [asdict(one) for one in evaluation.stops]
    show_table(stopped, f"gates that stop the challenger's products of {dataset}", "gates", dataset)


def show_shadows(places: DatasetPaths) -> None:
    """What a challenger would have published of a dataset, as a table, the newest first."""
    rows = [
        {
            "scene": one.scene,
            "challenger": f"{one.name} version {one.challenger}",
            "champion": one.champion,
            "would be": one.verdict,
            "stopped by": "; ".join(one.stopped.values()),
            "seconds": one.seconds,
            **{f"{name}, difference": round(value, 4) for name, value in one.differences.items()},
        }
        for one in find_shadows(places.shadows)
    ]
    show_table(rows, f"in the shadow of {places.root.name}", "shadow", places.root.name)


def show_pairs(table: Table, page: Path) -> None:
    """The pairs that were accepted and those that were not, each as a table, and a link to their page."""
    for name, accepted in (("pairs", True), ("refused", False)):
        rows = [
            {
                "scene": row.scene,
                "code": row.code,
                **row.shown(),
                "remarks": row.remarks,
            }
            for row in table.rows
            if row.accepted is accepted
        ]
        show_table(rows, f"{name} of {table.dataset}", name, table.dataset)
    _show_page(page, f"pairs of {table.dataset}", artifact_key("pairs-page", table.dataset))


def show_table(rows: Sequence[Mapping[str, Any]], description: str, *key: str) -> None:
    """Rows of plain values as a table artifact, MAX_ROWS of them and a last one that says how many more there are.

    No artifact when there is no row.
    """
    if rows:
        table = [{name: _plain(value) for name, value in row.items()} for row in rows[:MAX_ROWS]]
        if more := len(rows) - len(table):
            table.append({name: f"... {more} more rows" for name in list(rows[0])[:1]})
            description = f"{description}: the first {MAX_ROWS} of {len(rows)} rows"
        tried(create_table_artifact, table, key=artifact_key(*key), description=description)


def _plain(value: Any) -> Any:
    """A value that JSON has: it knows no infinity."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


class _Server:
    """When the server last did not answer: Prefect's client asks for a minute, and a night shows much."""

    away_at = -AWAY_SECONDS


def server_is_away() -> bool:
    """True when it did not answer a short while ago."""
    return time.monotonic() - _Server.away_at < AWAY_SECONDS


def server_went_away(error: Exception) -> None:
    """It did not answer: nothing is asked of it for AWAY_SECONDS."""
    _Server.away_at = time.monotonic()
    log.warning("the Prefect server does not answer, and the work goes on without it: %s", error)


def show_markdown(text: str, description: str, *key: str) -> None:
    """A page of Markdown."""
    tried(create_markdown_artifact, text, key=artifact_key(*key), description=description)


def tried(show: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `show` gives; None while the server is away, which is a warning and no more."""
    if server_is_away():
        return None
    try:
        return show(*args, **kwargs)
    except (httpx.HTTPError, PrefectException) as error:
        if isinstance(error, httpx.TransportError):
            _Server.away_at = time.monotonic()
        get_run_logger().warning("the Prefect server did not take an artifact: %s", error)
        return None
