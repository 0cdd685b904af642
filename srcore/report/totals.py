"""What a dataset comes to, in a few numbers kept beside its page: so that nobody who asks reads 10,000 receipts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from srcore.errors import StoreError
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import store_at

NAME = "totals.json"
INDEX = "index.html"
NIGHT = timedelta(days=1)
LAST = 30
"""Products that the speed is of."""


@dataclass(frozen=True)
class Totals:
    """Numbers of one dataset, as its page was written."""

    name: str
    products: int = 0
    degraded: int = 0
    held: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    """How often each reason code stands in the quarantine, the most frequent first."""
    newest: str = ""
    """When the newest product was made; ISO 8601."""
    tiles: int = 0
    """Of all products."""
    pixels: int = 0
    """Pixels of all bands of all products, as far as receipts say."""
    bytes: int = 0
    """Of all files of the products."""
    seconds: float = 0.0
    """Wall time of their stages."""
    mpx_s: float = 0.0
    """Megapixels of product a second, of the last products, all stages."""
    night_published: int = 0
    night_failed: int = 0
    """Within a day before the newest of both."""

    @property
    def address(self) -> str:
        """Of its page, from the store's."""
        return f"{quote(self.name)}/{INDEX}"

    @property
    def order(self) -> tuple[int, int, str]:
        """What failed first."""
        return -self.held, -self.degraded, self.name

    def save(self, folder: Path) -> None:
        """Write NAME, whole or not at all."""
        write_sealed(folder / NAME, asdict(self))


def night_of(made: Sequence[str], failed: Sequence[str]) -> tuple[int, int]:
    """How many of both lie within NIGHT before the newest of them; a time that is none is passed over."""
    times = [[time for text in texts if (time := _time(text)) is not None] for texts in (made, failed)]
    newest = max((time for one in times for time in one), default=None)
    if newest is None:
        return 0, 0
    counts = [sum(time > newest - NIGHT for time in one) for one in times]
    return counts[0], counts[1]


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def counted(codes: Sequence[str]) -> dict[str, int]:
    """Codes with how often they come, the most frequent first."""
    return dict(sorted(Counter(codes).items(), key=lambda one: (-one[1], one[0])))


def find_totals(store: Path) -> tuple[list[Totals], list[str]]:
    """The totals of every dataset in the store, what failed first; and the datasets that have a page and none."""
    found, untold = [], []
    for folder in _datasets(store):
        try:
            found.append(read_totals(folder))
        except (StoreError, TypeError):
            untold.append(folder.name)  # of another version, or damaged: the next page writes it anew
    return sorted(found, key=lambda one: one.order), sorted(untold)


def read_totals(folder: Path) -> Totals:
    """Of one dataset; StoreError or TypeError where they are not there, damaged, or another version's."""
    return Totals(**{**read_sealed(folder / NAME), "name": folder.name})


def _datasets(store: Path) -> Iterator[Path]:
    for name in store_at(store).folders():
        if any(store_at(store / name).find(one) is not None for one in (NAME, INDEX)):
            yield store / name
