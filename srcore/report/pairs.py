"""The pairs of a dataset as one HTML page that needs nothing else: which scenes are some, and why the others are none.
Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from srcore.codes import look_up
from srcore.report.page import policy, render


@dataclass(frozen=True)
class PairFacts:
    """A scene and what was found of it."""

    scene: str
    code: str
    """'' for a pair."""
    why: str
    figures: tuple[tuple[str, str], ...]
    """Names and numbers as text."""
    notes: tuple[str, ...]
    """What was corrected."""


def pairs_page(dataset: str, created: str, rows: Sequence[PairFacts], notes: Sequence[str] = ()) -> str:
    """The page: how many of which sort, then every scene."""
    accepted, refused = ([row for row in rows if bool(row.code) is side] for side in (False, True))
    names = list(dict.fromkeys(name for row in rows for name, _ in row.figures))
    counts = Counter(row.code for row in refused)
    codes = [(code, count, look_up(code)) for code, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]
    return render(
        "pairs.html",
        dataset=dataset,
        created=created,
        accepted=accepted,
        refused=refused,
        corrected=sum(bool(row.notes) for row in accepted),
        names=names,
        codes=codes,
        notes=notes,
        policy=policy((), "data:"),
    )
