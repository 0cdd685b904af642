"""Collect the pairs of a dataset: each is measured, checked, and kept in the store or refused, once for its bytes.

find -> digests -> known? the same row : measure, check -> seen before? -> kept with its origin, or refused
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.catalog.learning import Pairs as Wishes
from srcore.checkpoints import read_spec
from srcore.errors import GridError, SourceError, SRError, StoreError
from srcore.layout import LEASE, DatasetPaths
from srcore.progress import Progress
from srcore.registry.references import resolve
from srcore.report.pairs import PairFacts, pairs_page
from srcore.storage.archive.ownership import refuse_links
from srcore.storage.archive.pairs import is_whole, pair_folder, read_arrays, refuse_stranger, remove_pair, write_pair
from srcore.storage.disk.files import OWNERS_FOLDER
from srcore.storage.disk.leases import held
from srcore.storage.disk.store import store_at
from srcore.storage.disk.veil import nameless
from srcore.training.data.sealed import Digests
from srcore.training.pairs.facts import facts_of
from srcore.training.pairs.find import Pair, header_of, of_catalog
from srcore.training.pairs.measure import Measured, measure, measure_alone, same_scene, thumbnail
from srcore.training.pairs.stored import rules_of
from srcore.training.pairs.table import Row, Table, read_table, write_table
from srcore.version import __version__

log = logging.getLogger(__name__)

WINDOW_HR_PX = 2048
"""Of a scene, on each axis of a slice: what is trained on has to fit in memory."""


def check_pairs(catalog: Catalog, dataset: str, progress: Progress) -> Table:
    """What collecting would accept and refuse; nothing is written. The errors of `find_sources`."""
    hidden = catalog.dataset(dataset).hides_names
    return _Round(catalog, dataset, {}, Digests({}, hidden=hidden), keep=None).table(progress)


def collect_pairs(catalog: Catalog, dataset: str, progress: Progress, *, force: bool = False) -> Table:
    """Check the pairs of a dataset and keep those that are accepted; what was checked before stays unless `force`.

    The errors of `find_sources`; those of the registry where there are pairs that were accepted for its champion's
    scale; LeaseError when another run collects; StoreError where the disk is full: what was kept
    by then is there.
    """
    places, hidden = DatasetPaths(Path(catalog.store) / dataset), catalog.dataset(dataset).hides_names
    refuse_links(places.root.parent, places.pairs)
    with held(places.pairs / LEASE):
        if hidden:
            places.pairs.chmod(OWNERS_FOLDER)
        before = _before(places.pairs, dataset, force)
        known = {} if force else {row.digests: row for row in before.rows if row.digests}
        digests = Digests({} if force else before.files, hidden=hidden)
        work = _Round(catalog, dataset, known, digests, keep=places.pairs)
        table = work.table(progress)
        write_table(places.pairs, table)
        page = page_of(table).encode("utf-8", "backslashreplace")
        store_at(places.pairs).put(places.pairs_page.name, page)
        for gone in {row.scene for row in before.rows} - {row.scene for row in table.rows if row.accepted}:
            remove_pair(pair_folder(places.pairs, gone))
    return table


def _before(folder: Path, dataset: str, force: bool) -> Table:
    """What was collected last; with `force` none is needed to go on."""
    try:
        return read_table(folder, dataset)
    except StoreError:
        if not force:
            raise
        return Table(dataset, (), "")


def page_of(table: Table) -> str:
    """Its page, for people."""
    facts = [PairFacts(row.scene, row.code, row.why, tuple(row.shown().items()), row.notes) for row in table.rows]
    return pairs_page(table.dataset, table.created, facts, table.notes)


def _model_scale(entry: Dataset, *, needed: bool) -> tuple[tuple[int, ...] | None, str]:
    """HR pixels per LR pixel of the dataset's model; None with the reason where it cannot be asked, unless `needed`."""
    try:
        return read_spec(resolve(entry.model).folder).scale, ""
    except SRError as error:
        if needed:
            raise
        return None, f"the model's scale is not known ({error.code}): any whole ratio is taken"


@dataclass
class _Round:
    """One collecting."""

    catalog: Catalog
    dataset: str
    known: Mapping[tuple[str, ...], Row]
    digests: Digests
    keep: Path | None
    """Folder of the pairs; None: nothing is kept."""

    def table(self, progress: Progress) -> Table:
        """All rows, sorted by scene."""
        entry = self.catalog.dataset(self.dataset)
        found = of_catalog(self.catalog, self.dataset)
        # what was accepted for a scale is not checked again without one because a registry is away for an hour
        scale, note = _model_scale(entry, needed=bool(self.known))
        rules = rules_of(entry, self.catalog.hr_of(self.dataset), scale)
        rows = [Row(scene, *_parted(why)) for scene, why in found.left_out.items()]
        seen = _Seen(self.keep)
        names = {row.scene for row in self.known.values()}
        # of two copies the one stays that was there first
        for index, pair in enumerate(sorted(found.pairs, key=lambda one: one.scene not in names)):
            rows.append(self._row(entry, pair, scale, rules, seen))
            progress(index + 1, len(found.pairs))
        again = [pair for pair in found.pairs if pair.scene in seen.damaged]
        self.known = {}
        rows = [row for row in rows if row.scene not in seen.damaged]
        rows += [self._row(entry, pair, scale, rules, seen) for pair in again]
        ordered = tuple(sorted(rows, key=lambda row: row.scene))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Table(self.dataset, ordered, now, self.digests.seen, (note,) if note else ())

    def _row(self, entry: Dataset, pair: Pair, scale: tuple[int, ...] | None, rules: str, seen: _Seen) -> Row:
        try:
            row = nameless(pair.telling, lambda: self._looked_at(entry, pair, scale, rules, seen))
        except (SourceError, GridError) as error:
            return Row(pair.scene, error.code, f"{error}")
        seen.add(row)
        return row

    def _looked_at(self, entry: Dataset, pair: Pair, scale: tuple[int, ...] | None, rules: str, seen: _Seen) -> Row:
        digests = self.digests.of(pair.files)
        seen.refuse_bytes(pair.scene, digests)
        before = self.known.get(digests)
        if before is not None and before.rules == rules and self._stands(before, pair.scene):
            return replace(before, scene=pair.scene)
        return self._checked(entry, pair, scale, Row(pair.scene, "", "", digests=digests, rules=rules), seen)

    def _stands(self, before: Row, scene: str) -> bool:
        """Whether nothing is to be done: a refusal stands; a pair does while its folder is whole."""
        if self.keep is None or not before.accepted:
            return not before.accepted
        return before.scene == scene and is_whole(pair_folder(self.keep, scene), scene, before.pair)

    def _checked(self, entry: Dataset, pair: Pair, scale: tuple[int, ...] | None, row: Row, seen: _Seen) -> Row:
        find = measure if pair.measured else measure_alone
        found = find(entry, pair, scale, WINDOW_HR_PX)
        row = replace(row, figures=dict(found.figures), notes=found.notes)
        if found.refusal is not None:
            log.warning("%s is refused: %s", pair.scene, found.refusal)
            return replace(row, code=found.refusal.code, why=found.refusal.what)
        seen.refuse_alike(pair.scene, found)
        if self.digests.of(pair.files) != row.digests:
            raise SourceError(
                f"{pair.scene} changed while it was read", "other bytes", "collect it again", code="SOURCE_CHANGED"
            )
        if self.keep is None:
            return row
        told = _origin(entry, pair, found, row)
        folder = pair_folder(self.keep, pair.scene)
        refuse_stranger(folder)
        arrays = _arrays(pair, found)
        return replace(row, pair=write_pair(folder, pair.scene, arrays, told, private=pair.private))


class _Seen:
    """The scenes that were accepted in this round."""

    def __init__(self, keep: Path | None) -> None:
        self.keep = keep
        self.bytes: dict[tuple[str, ...], str] = {}
        self.thumbnails: dict[str, NDArray[np.float64]] = {}
        self.unread: list[str] = []
        """Accepted before: their thumbnails are made when a new pair is compared with them."""
        self.damaged: list[str] = []
        """Of these, those that could not be read then."""

    def refuse_bytes(self, scene: str, digests: tuple[str, ...]) -> None:
        """GridError DUPLICATE when these bytes were there under another name."""
        other = self.bytes.setdefault(digests, scene)
        if other != scene:
            raise GridError(f"{scene} has the bytes of {other}", "", "leave one of them out", code="DUPLICATE")

    def refuse_alike(self, scene: str, found: Measured) -> None:
        """GridError DUPLICATE when another scene shows the same."""
        for name in self.unread:
            try:
                arrays = read_arrays(pair_folder(self.keep, name)) if self.keep else {}
                self.thumbnails[name] = thumbnail(arrays["hr"], arrays["hr_valid"])
            except StoreError as error:
                log.warning("the pair %s is made again: %s", name, error)
                self.damaged.append(name)
        self.unread.clear()
        own = thumbnail(found.sample.hr, found.sample.hr_valid)
        other = next((name for name, one in self.thumbnails.items() if same_scene(own, one)), None)
        if other is not None:
            raise GridError(f"{scene} shows what {other} shows", "", "leave one of them out", code="DUPLICATE")
        self.thumbnails[scene] = own

    def add(self, row: Row) -> None:
        """Remember a row."""
        if row.accepted and row.scene not in self.thumbnails:
            self.unread.append(row.scene)


def _arrays(pair: Pair, found: Measured) -> dict[str, NDArray[Any]]:
    one = found.sample
    lr = {"lr": one.lr, "lr_valid": one.lr_valid} if pair.measured else {}
    return {"hr": one.hr, "hr_valid": one.hr_valid, **lr}


def _origin(entry: Dataset, pair: Pair, found: Measured, row: Row) -> dict[str, Any]:
    """Provenance, as plain values."""
    return {
        "srcore": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": [{**asdict(one), "sha256": digest} for one, digest in zip(pair.stamps, row.digests, strict=True)],
        "bands": pair.bands,
        "hr_bands": pair.hr_bands,
        "scale": list(found.sample.scale),
        "grid": None if found.grid is None else found.grid.to_json(),
        "taken": list(found.taken),
        "facts": asdict(facts_of(header_of(entry, pair), pair, entry)),
        "figures": dict(found.figures),
        "notes": list(found.notes),
        "pairs": (entry.pairs or Wishes()).model_dump(),
    }


def _parted(why: str) -> tuple[str, str]:
    """Code and words of a reason that may begin with a code."""
    first, colon, rest = why.partition(": ")
    code = first if colon and first.isupper() else "NO_HR"
    return code, rest if code == first else why
