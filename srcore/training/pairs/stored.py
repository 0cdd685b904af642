"""The pairs that were collected, as what a retraining begins with: the store has all of it, no source is read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srcore.catalog.dataset import Dataset
from srcore.catalog.learning import Pairs as Wishes
from srcore.errors import SourceError, StoreError
from srcore.layout import LEASE
from srcore.storage.archive.pairs import changed, is_whole, pair_folder, read_record
from srcore.storage.disk.leases import held
from srcore.training.pairs.find import Facts, Kept, Pair, Sources, refuse_restricted
from srcore.training.pairs.table import Row, require_table

RULES_VERSION = 3
"""Another number checks every pair again."""


def rules_of(entry: Dataset, other: Dataset | None, scale: Sequence[int] | None) -> str:
    """Digest of all that decides what a pair is, beside its files: the model's scale, `pairs`, how files are read; of
    private scenes also where their place stands in a path, which is not kept.

    `other` is the dataset that the HR is of.
    """
    wishes = (entry.pairs or Wishes()).model_dump(exclude={"schedule", "on_arrival"})
    read = [[one.treatment.of_files, one.bands, one.date] for one in (entry, other) if one is not None]
    facts: list[Any] = [RULES_VERSION, None if scale is None else list(scale), wishes, read]
    facts += [entry.retrain.place] if entry.hides_names and entry.retrain else []
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def stored_pairs(folder: Path, dataset: str, entry: Dataset, other: Dataset | None, scale: Sequence[int]) -> Sources:
    """What was collected last of a dataset: the accepted pairs, and why the others are none. Records are read alone.

    SourceError RESTRICTED when one of the two datasets is private by now, TOO_FEW_PAIRS when nothing was collected;
    StoreError PAIR_CHANGED for a pair that is gone or another, SourceError PAIR_CHANGED for one that other rules
    accepted; LeaseError while pairs are collected.
    """
    for one, name in ((entry, "the dataset"), (other, "the dataset of the HR")):
        if one is not None:
            refuse_restricted(one, name)
    table = require_table(folder, dataset)
    _refuse_outdated(dataset, table.rows, rules_of(entry, other, scale))
    with held(folder / LEASE):
        pairs = tuple(_pair(pair_folder(folder, row.scene), row) for row in table.rows if row.accepted)
    return Sources(pairs, {row.scene: f"{row.code}: {row.why}" for row in table.rows if not row.accepted})


def _refuse_outdated(dataset: str, rows: Sequence[Row], rules: str) -> None:
    old = [row.scene for row in rows if row.accepted and row.rules != rules]
    if old:
        raise SourceError(
            f"the collected pairs of {dataset} were checked by other rules than those of today",
            f"{len(old)} pairs, first {old[0]}; another scale of the model, other `pairs`, or files read another way",
            f"run `srcore pairs collect {dataset}`",
            code="PAIR_CHANGED",
        )


def _pair(folder: Path, row: Row) -> Pair:
    if not is_whole(folder, row.scene, row.pair):
        raise changed(row.scene, "it is gone, or another one stands there")
    try:
        record = read_record(folder)
        facts = Facts(**_boxed(record["facts"]))
        mtime_ns = max(one["mtime_ns"] for one in record["files"])
        kept = Kept(facts, row.digests, folder, row.pair, mtime_ns, row.notes)
        bands = record["bands"] and tuple(record["bands"])
    except (StoreError, KeyError, TypeError, ValueError) as error:
        raise changed(row.scene, f"{error!r}") from error
    return Pair(row.scene, (), (), (), bands, (), kept=kept)


def _boxed(facts: dict[str, Any]) -> dict[str, Any]:
    return {**facts, "box": None if facts["box"] is None else tuple(facts["box"])}
