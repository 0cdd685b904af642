"""What the receipts of a dataset say of its last products."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from srcore.catalog.object_stores import on_object_store
from srcore.errors import StoreError
from srcore.storage.archive.publish import RECEIPT, Receipt, find_receipts
from srcore.storage.disk.store import store_at
from srcore.storage.work.scene_plan import ScenePlan

LAST = 30

Figures = Mapping[str, float]
"""Id to value of checks."""


class History:
    """Figures of the last products by one model, kept while receipts pass by: so many of them, and no more."""

    def __init__(self, model_digest: str, last: int = LAST) -> None:
        self.model_digest, self.last = model_digest, last
        self._kept: list[tuple[str, str, Figures]] = []
        """A heap of (created, scene, figures): the oldest first, and one more than is given, for the scene left out."""

    def add(self, receipt: Receipt) -> None:
        """Take note of a published product; one by another model is passed over."""
        if receipt.model_digest != self.model_digest:
            return
        if len(self._kept) > self.last and (receipt.created, receipt.scene) < self._kept[0][:2]:
            return
        if any(scene == receipt.scene for _, scene, _ in self._kept):  # made again: the older one is gone
            self._kept = [one for one in self._kept if one[1] != receipt.scene]
            heapq.heapify(self._kept)
        heapq.heappush(self._kept, (receipt.created, receipt.scene, _figures(receipt)))
        if len(self._kept) > self.last + 1:
            heapq.heappop(self._kept)

    def before(self, scene: str) -> tuple[Figures, ...]:
        """Figures of the last products but that of `scene`, newest first."""
        newest = sorted((one for one in self._kept if one[1] != scene), key=lambda one: one[:2], reverse=True)
        return tuple(figures for _, _, figures in newest[: self.last])


def figures_before(plan: ScenePlan) -> tuple[Figures, ...]:
    """Id to value of the checks of the dataset's last products by the same model, newest first, this scene left out.

    Empty for a product outside a dataset. A night says them in its plan; else the newest folders are looked at. A
    receipt that cannot be read is passed over: others report it.
    """
    if plan.before is not None or not plan.dataset:
        return plan.before or ()
    history = History(plan.model_digest)
    for folder in _newest(plan.product.folder.parent):
        for receipt in _receipts(folder):
            history.add(receipt)
        found = history.before(plan.scene)
        if len(found) == history.last:
            return found
    return history.before(plan.scene)


def _newest(products: Path) -> list[Path]:
    """Folders of products, the one that was published last first: that is when its names changed."""
    if on_object_store(products):
        receipts = sorted(find_receipts(products), key=lambda one: one[1], reverse=True)
        return [path.parent for path, _ in receipts]
    if not products.is_dir():
        return []
    with os.scandir(products) as entries:
        found = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.is_dir()]
    return [Path(path) for _, path in sorted(found, reverse=True)]


def _receipts(folder: Path) -> Iterator[Receipt]:
    for stored in store_at(folder).list():
        if stored.name.endswith(RECEIPT):
            try:
                receipt = Receipt.load(folder / stored.name)
            except StoreError:
                continue
            if receipt is not None:
                yield receipt


def _figures(receipt: Receipt) -> Figures:
    return {one["id"]: float(one["value"]) for one in receipt.checks if isinstance(one["value"], (int, float))}
