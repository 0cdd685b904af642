"""The page of a dataset: its products with their verdicts, how they change over time, and what is in quarantine.

    index.html            what failed, then the newest products: ROWS of them; totals and trends
    index-2.html ...      the rest, as many on each
    totals.json           the dataset in a few numbers, for the store's page and for metrics

Made from the receipts and the quarantine alone, so it can be made again at any time; pictures and reports are
linked by relative paths, so the folder can be moved or served as it is.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from srcore.catalog.object_stores import on_object_store
from srcore.codes import WHEN, look_up
from srcore.errors import StoreError
from srcore.layout import DatasetPaths
from srcore.report.page import policy, render
from srcore.report.store import write_store_page
from srcore.report.totals import LAST, Totals, counted, night_of, read_totals
from srcore.report.words import CONSISTENCY
from srcore.report.written import Trend, trend_figure
from srcore.storage.archive.champions import read_champions
from srcore.storage.archive.publish import RECEIPT, Receipt, find_receipts
from srcore.storage.archive.shadows import Shadowed, find_shadows
from srcore.storage.disk.records import parse_json
from srcore.storage.disk.store import store_at

TRENDS = (
    ("Gain over bicubic, against the true image", "dB", "reference.gain"),
    ("Difference from the input, against plain enlargement's", "x plain", "consistency.ratio"),
    ("Time a scene", "s", None),
)
"""Title, unit, and the check whose value it is; None: the wall time."""
TOLD = frozenset(check for *_, check in TRENDS if check is not None)
ROWS = 500
"""Products and scenes in quarantine on a page."""
REMEMBERED = 500
"""Products that the trends show, the last ones."""
SEARCHED = 20_000
"""Scenes whose names the first page has, so that it finds those on the others."""
DEAD_SECONDS = 600.0
_FURTHER = re.compile(r"index-(\d+)\.html")


@dataclass(frozen=True)
class Product:
    """What the page tells of one published product: not its receipt, of which an archive has thousands."""

    scene: str
    folder: str
    """Of its files, from the page, as an address."""
    created: str
    model: str
    verdict: str
    seconds: float
    """Wall time of its stages."""
    outputs: tuple[str, ...]
    """Names of its files."""
    failed: tuple[str, ...]
    """Checks that were not passed."""
    values: Mapping[str, float]
    """Of the checks that the page tells, where they are numbers: not every check is measured everywhere."""
    limits: Mapping[str, float | None]
    """Of the same."""
    silent: int = 0
    """Checks that were not measured."""
    tiles: int = 0
    pixels: int = 0
    """Of all bands; 0 where the receipt does not say it."""
    bytes: int = 0
    """Of its files."""

    @classmethod
    def of(cls, receipt: Receipt, folder: str) -> Product:
        """What a receipt says."""
        told = [one for one in receipt.checks if one["id"] in TOLD]
        return cls(
            scene=receipt.scene,
            folder=folder,
            created=receipt.created,
            model=receipt.model,
            verdict=receipt.verdict,
            seconds=sum(receipt.seconds.values()),
            outputs=tuple(output.name for output in receipt.outputs),
            failed=tuple(one["id"] for one in receipt.checks if not one["passed"]),
            values={one["id"]: float(one["value"]) for one in told if isinstance(one["value"], int | float)},
            limits={one["id"]: one["limit"] for one in told},
            silent=sum(one.get("state", "measured") != "measured" for one in receipt.checks),
            tiles=int(receipt.parameters.get("tiles", 0)),
            pixels=int(receipt.parameters.get("pixels", 0)),
            bytes=sum(output.size_bytes for output in receipt.outputs),
        )

    @property
    def stac(self) -> str | None:
        """Address of its STAC item; None when there is none."""
        items = [name for name in self.outputs if name.endswith(".json") and not name.endswith(".report.json")]
        return f"{self.folder}/{quote(items[0])}" if items else None

    @property
    def mapped(self) -> bool:
        """Whether `srcore serve` has a map of it."""
        return any(name.rpartition("/")[2] == f"{self.scene}.tif" for name in self.outputs)

    @property
    def receipt(self) -> str:
        """Address of its receipt, from the page."""
        return f"{self.folder}/{quote(self.scene)}{RECEIPT}"

    def address(self, suffix: str) -> str | None:
        """Of the output that ends so, from the page; None when there is none."""
        names = [name for name in self.outputs if name.endswith(suffix)]
        return f"{self.folder}/{quote(names[0])}" if names else None


@dataclass(frozen=True)
class Held:
    """One scene in quarantine, or a product whose receipt cannot be read."""

    scene: str
    code: str
    message: str
    when: str
    page: str | None = None
    """Address of the report that was not published."""

    @property
    def do(self) -> str:
        """What a user does about its code."""
        return look_up(self.code).do

    @property
    def again(self) -> str:
        """When it is tried again."""
        return WHEN[look_up(self.code).retry]


@dataclass(frozen=True)
class IndexFacts:
    """All that the page tells."""

    dataset: str
    products: Sequence[Product]
    """The newest first."""
    held: Sequence[Held]
    shadows: Sequence[Shadowed] = ()
    """What a challenger would have published, the newest first."""
    proposal: str = ""
    """That a rollback is worth a look."""

    @property
    def pages(self) -> int:
        """How many there are; one where there is nothing to tell."""
        return max(1, -(-(len(self.held) + len(self.products)) // ROWS))

    def on(self, page: int) -> tuple[Sequence[Held], Sequence[Product]]:
        """What a page holds, the first is 1: what failed comes before what was published."""
        start, held = (page - 1) * ROWS, len(self.held)
        end = start + ROWS
        return self.held[start:end], self.products[max(start - held, 0) : max(end - held, 0)]


def write_index(places: DatasetPaths) -> Path:
    """Write the pages of the dataset in place of those there, its totals, and the store's page; StoreError when that
    cannot be done. Gives the first page."""
    _sweep(places)
    facts, store = read_index(places), store_at(places.root)
    totals_of(facts).save(places.root)
    write_store_page(places.root.parent)
    for page in range(facts.pages, 0, -1):  # the first one last: its time says how far they all are
        store.put(page_name(page), index_page(facts, page).encode("utf-8", "backslashreplace"))
    further = {one.name: _FURTHER.fullmatch(one.name) for one in store.list()}
    if gone := [name for name, found in further.items() if found and int(found[1]) > facts.pages]:
        store.delete(*gone)
    return places.index


def totals_of(facts: IndexFacts) -> Totals:
    """The dataset in a few numbers."""
    made, last = facts.products, [one for one in facts.products[:LAST] if one.pixels and one.seconds]
    published, failed = night_of([one.created for one in made], [one.when for one in facts.held])
    return Totals(
        name=facts.dataset,
        products=len(made),
        degraded=sum(one.verdict != "published" for one in made),
        held=len(facts.held),
        codes=counted([one.code for one in facts.held]),
        newest=made[0].created if made else "",
        tiles=sum(one.tiles for one in made),
        pixels=sum(one.pixels for one in made),
        bytes=sum(one.bytes for one in made),
        seconds=round(sum(one.seconds for one in made), 3),
        mpx_s=sum(one.pixels for one in last) / 1e6 / sum(one.seconds for one in last) if last else 0.0,
        night_published=published,
        night_failed=failed,
    )


def page_name(page: int) -> str:
    """The file of a page; the first is 1."""
    return "index.html" if page == 1 else f"index-{page}.html"


def is_stale(places: DatasetPaths) -> bool:
    """True when a product, a record of the quarantine or of a shadow came or went after the page was written.

    Each of them comes by a new name in its folder, so the folders' times tell. An object store has no folders.
    """
    if on_object_store(places.root):
        return _is_older(places)
    told = [places.quarantined, places.shadows, places.champions]
    changed = max((time_ns for path in told if (time_ns := _changed_ns(path)) is not None), default=0)
    if places.products.is_dir():
        with os.scandir(places.products) as entries:
            changed = max(changed, *(entry.stat().st_mtime_ns for entry in entries if entry.is_dir()), 0)
    return changed > (_changed_ns(places.index) or 0)


def _is_older(places: DatasetPaths) -> bool:
    """The same by listings: something is newer than the page, or more or fewer are there than it was made of.

    Within a second, which is all that a listing tells of time, the page counts as the older one.
    """
    page = store_at(places.root).find(places.index.name)
    receipts = [written_ns for _, written_ns in find_receipts(places.products)]
    held = [one for one in store_at(places.quarantined).list() if one.name.endswith(".json")]
    beside = [*store_at(places.shadows).list(), store_at(places.root).find(places.champions.name)]
    times = [*receipts, *(one.mtime_ns for one in (*held, *beside) if one is not None)]
    if page is None or max(times, default=0) >= page.mtime_ns:
        return True
    try:
        totals = read_totals(places.root)
    except (StoreError, TypeError):
        return True
    return totals.products + totals.held != len(receipts) + len(held)


def _changed_ns(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _sweep(places: DatasetPaths) -> None:
    """Remove what dead runs left of the pages and totals; a living one writes for less than a second."""
    root = places.root
    parts = (root.glob(".index*.html.*.part"), root.glob(".totals.json.*.part"), root.parent.glob(".index.html.*.part"))
    for path in chain(*parts):
        with suppress(OSError):  # another run was faster
            if time.time() - path.stat().st_mtime > DEAD_SECONDS:
                path.unlink()


def read_index(places: DatasetPaths) -> IndexFacts:
    """What the receipts and the quarantine of a dataset tell."""
    products, held = [], []
    for path, _ in find_receipts(places.products):
        try:
            receipt = Receipt.load(path)
        except StoreError as error:
            held.append(Held(path.parent.name, error.code, str(error), ""))
        else:
            if receipt is not None:
                products.append(Product.of(receipt, f"products/{quote(path.parent.name)}"))
    records = store_at(places.quarantined)
    names = [stored.name for stored in records.list()]
    held += [_held(name, records.get(name) or b"", names) for name in names if name.endswith(".json")]
    products.sort(key=lambda product: product.created, reverse=True)
    shadows, proposal = find_shadows(places.shadows), read_champions(places.champions).proposal
    return IndexFacts(places.root.name, products, held, shadows, proposal)


def _held(name: str, data: bytes, there: Sequence[str]) -> Held:
    scene = name.removesuffix(".json")
    try:
        value = parse_json(data, name)
    except StoreError as error:
        return Held(scene, error.code, str(error), "")
    page = f"{scene}.html"
    told = [str(value.get(key, "")) for key in ("scene", "code", "message", "when")]
    return Held(told[0], told[1], told[2], told[3], f"quarantine/{quote(page)}" if page in there else None)


def index_page(facts: IndexFacts, page: int = 1) -> str:
    """A page, the first is 1; pure, the same facts give the same text."""
    gains = [product.values["reference.gain"] for product in facts.products if "reference.gain" in product.values]
    held, products = facts.on(page)
    return render(
        "index.html",
        facts=facts,
        page=page,
        held=held,
        products=products,
        names=[page_name(number) for number in range(1, facts.pages + 1)],
        degraded=sum(product.verdict != "published" for product in facts.products),
        gain=sum(gains) / len(gains) if gains else None,
        seconds=sum(product.seconds for product in facts.products),
        trends=list(_trends(facts.products[:REMEMBERED])) if page == 1 else [],
        remembered=REMEMBERED,
        scenes=_scenes(facts) if page == 1 and facts.pages > 1 else [],
        consistency=CONSISTENCY.format(plain="bicubic (of a volume trilinear)"),
        mapped=any(product.mapped for product in facts.products),
        policy=policy(("index.js",), "'self' file:"),
    )


def _scenes(facts: IndexFacts) -> list[list[str]]:
    """Names of the scenes on each page, for the search; of an archive that is too large for that, none."""
    if len(facts.held) + len(facts.products) > SEARCHED:
        return []
    pages = [facts.on(page) for page in range(1, facts.pages + 1)]
    return [[*(one.scene for one in held), *(one.scene for one in products)] for held, products in pages]


def _trends(products: Sequence[Product]) -> Iterable[tuple[str, Markup]]:
    for title, unit, check in TRENDS:
        trend = _trend(products, title, unit, check)
        if len(trend.values) > 1:
            yield title, trend_figure(trend)


def _trend(products: Sequence[Product], title: str, unit: str, check: str | None) -> Trend:
    told = [product for product in reversed(products) if check is None or check in product.values]
    return Trend(
        title,
        unit,
        [datetime.fromisoformat(product.created) for product in told],
        [product.values[check] if check else product.seconds for product in told],
        [product.verdict == "published" for product in told],
        told[-1].limits.get(check) if told and check else None,
    )
