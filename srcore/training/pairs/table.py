"""What became of every scene of a dataset, as rows: for the record, a table, a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any

from srcore.errors import SourceError, StoreError
from srcore.storage.archive.pairs import TABLE as RECORD
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import exists

VERSION = 1
SHOWN = (
    ("ncc", "NCC", "{:.3f}"),
    ("detail", "detail", "{:.2f}"),
    ("shift_slices", "slices", "{:+.2f}"),
    ("shift_rows", "rows", "{:+.2f}"),
    ("shift_columns", "cols", "{:+.2f}"),
    ("shift_spread", "spread", "{:.2f}"),
    ("gain", "gain", "{:.3f}"),
    ("offset", "offset", "{:+.4g}"),
    ("r2", "R2", "{:.3f}"),
    ("clear", "clear", "{:.0%}"),
    ("days", "days", "{:.1f}"),
)
"""Figures by name, as a table calls and writes them. Shifts are in LR pixels."""


@dataclass(frozen=True)
class Row:
    """A scene, and whether it is a pair."""

    scene: str
    code: str
    """'' where it was accepted."""
    why: str
    """In words, where it was refused."""
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was corrected or assumed."""
    digests: tuple[str, ...] = ()
    """sha256 of its files, LR first; empty where they were not read."""
    rules: str = ""
    """Digest of what was asked of it."""
    pair: str = ""
    """Digest of what is kept of it; '' where nothing is."""

    @property
    def accepted(self) -> bool:
        """True for a pair."""
        return not self.code

    @property
    def remarks(self) -> str:
        """Why it was refused, and what was corrected."""
        return "; ".join(part for part in (self.why, *self.notes) if part)

    def shown(self) -> dict[str, str]:
        """Its figures as text, those that it has."""
        return {
            name: form.format(self.figures[key]) for key, name, form in SHOWN if isfinite(self.figures.get(key, nan))
        }


@dataclass(frozen=True)
class Table:
    """A dataset's scenes, by name."""

    dataset: str
    rows: tuple[Row, ...]
    created: str
    files: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Size, time and sha256 of every file that was read."""
    notes: tuple[str, ...] = ()
    """Of the dataset as a whole."""

    @property
    def accepted(self) -> int:
        """How many are pairs."""
        return sum(row.accepted for row in self.rows)

    def codes(self) -> dict[str, int]:
        """Codes of the refused with their counts, the most frequent first."""
        counts = Counter(row.code for row in self.rows if not row.accepted)
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))

    def in_words(self) -> str:
        """One line."""
        told = ", ".join(f"{count} {code}" for code, count in self.codes().items())
        refused = len(self.rows) - self.accepted
        return f"{self.dataset}: {self.accepted} pairs, {refused} refused{f': {told}' if told else ''}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the files' own."""
        rows = [{**asdict(row), "accepted": row.accepted} for row in self.rows]
        told = {"dataset": self.dataset, "created": self.created, "notes": list(self.notes)}
        return {**told, "accepted": self.accepted, "refused": len(self.rows) - self.accepted, "pairs": rows}


def write_table(folder: Path, table: Table) -> None:
    """Seal it."""
    write_sealed(folder / RECORD, {"version": VERSION, **asdict(table)})


def read_table(folder: Path, dataset: str) -> Table:
    """What was collected last; empty before. StoreError when its record is damaged."""
    if not exists(folder / RECORD):
        return Table(dataset, (), "")
    found = read_sealed(folder / RECORD)
    try:
        rows = tuple(
            Row(**{**row, "notes": tuple(row["notes"]), "digests": tuple(row["digests"])}) for row in found["rows"]
        )
        return Table(dataset, rows, found["created"], found["files"], tuple(found["notes"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{RECORD} of {dataset} is damaged", str(error), "collect again with --force") from error


def require_table(folder: Path, dataset: str) -> Table:
    """What was collected last; SourceError before."""
    table = read_table(folder, dataset)
    if not table.created:
        raise SourceError(
            f"no pairs of {dataset} were collected", "", f"run `srcore pairs collect {dataset}`", code="TOO_FEW_PAIRS"
        )
    return table
