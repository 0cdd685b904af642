"""What lies in a dataset's part of an object store, by one listing: so that a night asks of each scene that is up to
date for its receipt alone, however many objects its product is.

A listing may be older than what it lists: what it does not show is asked for by name, so it can only cost requests.
Of each run it keeps one number, for 100,000 products are a million objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from srcore.catalog.object_stores import object_store_of
from srcore.layout import DatasetPaths
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.runs import run_of
from srcore.storage.disk.store import store_at
from srcore.storage.objects.store import ObjectStore


@dataclass(frozen=True)
class Overview:
    """A dataset's products and its quarantine, as they were listed."""

    runs: Mapping[str, int]
    """SCENE/RUN to a digest of the names and sizes below it."""
    held: frozenset[str]
    """Scenes of which something lies in quarantine."""

    def shows(self, scene: str, receipt: Receipt) -> bool:
        """Whether all files of a receipt, and no other ones, were there with their sizes."""
        run = run_of(receipt)
        files = ((one.name.removeprefix(f"{run}/"), one.size_bytes) for one in receipt.outputs)
        return bool(run) and self.runs.get(f"{scene}/{run}") == _digest(files)


def overview(places: DatasetPaths) -> Overview | None:
    """None for a store that is a folder: there a look costs nothing."""
    found = object_store_of(places.products)
    if found is None:
        return None
    runs: Counter[str] = Counter()
    for one in ObjectStore(*found).each():
        scene, _, rest = one.name.partition("/")
        run, slash, name = rest.partition("/")
        if slash:
            runs[f"{scene}/{run}"] += _digest([(name, one.size_bytes)])
    held = (one.name.rpartition(".")[0] for one in store_at(places.quarantined).list())
    return Overview(runs, frozenset(held))


def _digest(files: Iterable[tuple[str, int]]) -> int:
    """The same in any order, within this process."""
    return sum(map(hash, files))
