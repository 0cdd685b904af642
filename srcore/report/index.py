"""The page of a dataset: its products with their verdicts, how they change over time, and what is in quarantine.

Made from the receipts and the quarantine alone, so it can be made again at any time; pictures and reports are
linked by relative paths, so the folder can be moved or served as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from srcore.errors import StoreError
from srcore.layout import DatasetPaths
from srcore.storage.archive.champions import read_champions
from srcore.storage.archive.publish import Receipt, find_receipts
from srcore.storage.archive.shadows import Shadowed, find_shadows
from srcore.storage.disk.records import parse_json
from srcore.storage.disk.store import store_at

if TYPE_CHECKING:
    from markupsafe import Markup

    from srcore.report.figures import Trend

TRENDS = (
    ("gain", "Gain over bicubic, against the true image", "dB", "reference.gain"),
    ("consistency", "Difference from the input, against bicubic's", "x bicubic", "consistency.ratio"),
    ("time", "Time a scene", "s", None),
)
"""Name, title, unit, and the check whose value it is; None: the wall time."""
DEAD_SECONDS = 600.0


@dataclass(frozen=True)
class Product:
    """One published product."""

    receipt: Receipt
    folder: str
    """Of its files, from the page, as an address."""

    def address(self, suffix: str) -> str | None:
        """Of the output that ends so, from the page; None when there is none."""
        names = [output.name for output in self.receipt.outputs if output.name.endswith(suffix)]
        return f"{self.folder}/{quote(names[0])}" if names else None

    @property
    def values(self) -> Mapping[str, Any]:
        """Values of its checks by their ids, where they are numbers: not every check is measured everywhere."""
        return {check["id"]: check["value"] for check in self.receipt.checks if isinstance(check["value"], int | float)}

    @property
    def seconds(self) -> float:
        """Wall time of its stages."""
        return sum(self.receipt.seconds.values())

    @property
    def failed(self) -> Sequence[str]:
        """Checks that were not passed."""
        return [check["id"] for check in self.receipt.checks if not check["passed"]]


@dataclass(frozen=True)
class Held:
    """One scene in quarantine, or a product whose receipt cannot be read."""

    scene: str
    code: str
    message: str
    when: str
    page: str | None = None
    """Address of the report that was not published."""


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


def write_index(places: DatasetPaths) -> Path:
    """Write the page of the dataset in place of the one there; StoreError when that cannot be done."""
    _sweep(places.index)
    page = index_page(read_index(places)).encode("utf-8", "backslashreplace")
    store_at(places.root).put(places.index.name, page)
    return places.index


def is_stale(places: DatasetPaths) -> bool:
    """True when a product, a record of the quarantine or of a shadow came or went after the page was written.

    Each of them comes by a new name in its folder, so the folders' times tell.
    """
    told = [*places.root.glob("shadow/"), *places.root.glob(places.champions.name)]
    folders = [*places.products.glob("*/"), *places.root.glob("quarantine/"), *told]
    changed = max((folder.stat().st_mtime_ns for folder in folders), default=0)
    return changed > (places.index.stat().st_mtime_ns if places.index.exists() else 0)


def _sweep(index: Path) -> None:
    """Remove what dead runs left of it; a living one writes for less than a second."""
    for path in index.parent.glob(f".{index.name}.*.part"):
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
                products.append(Product(receipt, f"products/{quote(path.parent.name)}"))
    records = store_at(places.quarantined)
    names = [stored.name for stored in records.list()]
    held += [_held(name, records.get(name) or b"", names) for name in names if name.endswith(".json")]
    products.sort(key=lambda product: product.receipt.created, reverse=True)
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


def index_page(facts: IndexFacts) -> str:
    """The page; pure, the same facts give the same text."""
    # The figures need matplotlib, which costs half a second to import: only those who get here pay.
    from srcore.report.page import policy, render

    gains = [
        float(product.values["reference.gain"]) for product in facts.products if "reference.gain" in product.values
    ]
    return render(
        "index.html",
        facts=facts,
        degraded=sum(product.receipt.verdict != "published" for product in facts.products),
        gain=sum(gains) / len(gains) if gains else None,
        seconds=sum(product.seconds for product in facts.products),
        trends=list(_trends(facts.products)),
        policy=policy(None, "'self' file:"),
    )


def _trends(products: Sequence[Product]) -> Iterable[tuple[str, Markup]]:
    from srcore.report.figures import Trend, trend_figure

    for name, title, unit, check in TRENDS:
        trend = _trend(Trend, products, title, unit, check)
        if len(trend.values) > 1:
            yield title, trend_figure(name, trend)


def _trend(make: type[Trend], products: Sequence[Product], title: str, unit: str, check: str | None) -> Trend:
    told = [product for product in reversed(products) if check is None or check in product.values]
    limits = [one["limit"] for product in told[-1:] for one in product.receipt.checks if one["id"] == check]
    return make(
        title,
        unit,
        [datetime.fromisoformat(product.receipt.created) for product in told],
        [float(product.values[check]) if check else product.seconds for product in told],
        [product.receipt.verdict == "published" for product in told],
        limits[0] if limits else None,
    )
