"""Bit rot: published products are read again and compared with their receipts, a share a night. Nothing is deleted.

STORE/DATASET/audit.json says of each scene when its product was read last, and what was found. A product that is
damaged has a record in quarantine and is due again; a source that is, is told, for the product made of it is right.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from srcore.catalog import Catalog
from srcore.catalog.object_stores import on_object_store
from srcore.errors import SRError, StoreError
from srcore.layout import DatasetPaths
from srcore.storage.archive.publish import Receipt, find_receipts
from srcore.storage.archive.quarantine import quarantine
from srcore.storage.disk.records import json_bytes, parse_json
from srcore.storage.disk.store import sha256_of, store_at
from srcore.storage.disk.watch import stamp_if_there

DAY_SECONDS = 86_400.0
RESTS_SECONDS = 0.9 * DAY_SECONDS
"""What was read so lately is not read again: a night an hour earlier than the last one is a night all the same."""


@dataclass(frozen=True)
class Read:
    """The last time that a product was read again."""

    when: float
    """s since 1970."""
    created: str
    """Of the receipt that it was compared with: of another product it says nothing."""
    damaged: str = ""
    """What is wrong with it; empty where nothing is."""
    source: str = ""
    """What is wrong with its source, where that was read, too."""


@dataclass(frozen=True)
class Audit:
    """What an audit of a dataset came to."""

    read: int
    """Products."""
    of: int
    size_bytes: int
    seconds: float
    findings: Sequence[tuple[str, SRError]]
    """Scene, and what is wrong: PRODUCT_DAMAGED or SOURCE_DAMAGED."""

    def __str__(self) -> str:
        gigabytes = self.size_bytes / 1e9
        pace = f", {self.seconds / gigabytes:.1f} s a GB" if gigabytes else ""
        told = f"{self.read} of {self.of} products read again: {gigabytes:.3f} GB in {self.seconds:.1f} s{pace}"
        return f"{told}; {len(self.findings)} damaged" if self.findings else told


def audit(catalog: Catalog, dataset: str, *, days: int | None = None, sources: bool = False) -> Audit:
    """Read published products of a dataset again, and their sources with `sources`; note what is found.

    `days`: only the share by which every product is read within so many days; None: all of them.
    """
    catalog.dataset(dataset)  # refuses an unknown one
    places = DatasetPaths(Path(catalog.store) / dataset)
    records, started = load_reads(places), time.monotonic()
    receipts = {path.parent.name: (path, written_ns / 1e9) for path, written_ns in find_receipts(places.products)}
    before = {scene: read.when for scene, read in records.items()}
    last = {scene: max(written, before.get(scene, 0.0)) for scene, (_, written) in receipts.items()}
    reads = {scene: read for scene, read in records.items() if scene in receipts}
    now = time.time()
    chosen = sorted(last) if days is None else share(last, now, days, max(before.values(), default=now - DAY_SECONDS))
    size_bytes, findings = 0, []
    for scene in chosen:
        read, count, found = _read(places, receipts[scene][0], sources=sources)
        size_bytes += count
        findings += [(scene, error) for error in found]
        if read is not None:
            reads[scene] = read
    if chosen:
        store_at(places.root).put(places.audit.name, json_bytes({scene: asdict(read) for scene, read in reads.items()}))
    return Audit(len(chosen), len(receipts), size_bytes, time.monotonic() - started, findings)


def share(last: Mapping[str, float], now: float, days: int, ran: float) -> list[str]:
    """Scenes to read now, those that wait longest first, so that a look a night reads each within `days`.

    `last`: when each was read, or published; `ran`: when any was read; in s since 1970. After nights that were left
    out it is more, and a second time in a night nothing.
    """
    waiting = sorted((scene for scene in last if now - last[scene] > RESTS_SECONDS), key=lambda scene: last[scene])
    nights = min((now - ran) / DAY_SECONDS, days) if now - ran > RESTS_SECONDS else 0.0
    # not what is overdue: an archive that comes to its first audit is not read in one night
    return waiting[: math.ceil(len(last) * max(nights, 1.0) / days) if nights else 0]


def load_reads(places: DatasetPaths) -> dict[str, Read]:
    """What audits noted, by scene; empty where that is not there or cannot be read: then all is read anew."""
    try:
        data = store_at(places.root).get(places.audit.name)
        if data is None:
            return {}
        return {scene: Read(**read) for scene, read in parse_json(data, places.audit.name).items()}
    except (StoreError, TypeError):
        return {}


def _read(places: DatasetPaths, path: Path, *, sources: bool) -> tuple[Read | None, int, list[SRError]]:
    """What to note, bytes read, and what is wrong; nothing of a product that was replaced meanwhile."""
    scene = path.parent.name
    try:
        receipt = Receipt.load(path)
    except StoreError as error:
        return None, 0, [_damaged(scene, str(error))]  # not whole to anybody: it is due by itself
    if receipt is None:
        return None, 0, []
    files = {path.parent / output.name: output.sha256 for output in receipt.outputs}
    wrong = _wrong(files)
    rotten = _wrong(_still(receipt)) if sources else ""
    if Receipt.load(path) != receipt:
        return None, 0, []
    size_bytes = sum(output.size_bytes for output in receipt.outputs)
    size_bytes += sum(source.size_bytes for source in receipt.sources) if sources else 0
    found: list[SRError] = []
    if wrong:
        found.append(_damaged(scene, wrong))
        paths = [Path(source.path) for source in receipt.sources]
        quarantine(places.quarantine(scene), scene, found[0], paths, receipt.configuration, ())
    if rotten:
        what, do = f"a source of {scene} has other bytes, and size and time of before", "restore it from another copy"
        found.append(StoreError(what, rotten, do, code="SOURCE_DAMAGED"))
    return Read(time.time(), receipt.created, wrong, rotten), size_bytes, found


def _damaged(scene: str, wrong: str) -> StoreError:
    do = "the next run makes it again; look for a failing disk"
    return StoreError(f"the product of {scene} is not what was published", wrong, do, code="PRODUCT_DAMAGED")


def _still(receipt: Receipt) -> dict[Path, str]:
    """Its sources that look untouched; one that was replaced or is gone is not damaged, and status says so."""
    stamps = {source.path: stamp_if_there(Path(source.path)) for source in receipt.sources}
    return {Path(one.path): one.sha256 for one in receipt.sources if one.sha256 and stamps[one.path] == one.stamp}


def _wrong(files: Mapping[Path, str]) -> str:
    """The names of files with another sha256, each with why; empty when all are as they were."""
    return ", ".join(f"{path.name}: {why}" for path, sha256 in files.items() if (why := _other(path, sha256)))


def _other(path: Path, sha256: str) -> str:
    try:
        if not on_object_store(path):
            _forget_cached(path)
        return "" if sha256_of(path) == sha256 else "other bytes"
    except OSError as error:
        return error.strerror or str(error)


def _forget_cached(path: Path) -> None:
    """Ask the system to read the file from the disk: what it holds in memory says nothing of that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
