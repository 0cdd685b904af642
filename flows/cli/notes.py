"""What a user should know of products, in few lines: flags that many scenes share once, long ones cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

LINES = 12
"""Of a command, at most: receipts and pages have all."""
WIDTH = 240
"""Characters of a line, at most."""


def notes(flagged: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Lines for the flags of scenes, those of most scenes first; without names where there is one scene without one."""
    found: dict[str, list[str]] = {}
    for scene, flags in flagged:
        for flag in dict.fromkeys(flags):
            found.setdefault(flag, []).append(scene)
    lines = sorted(found.items(), key=lambda one: -len(one[1]))
    for flag, scenes in lines[:LINES]:
        of = f"{len(scenes)} scenes: " if len(scenes) > 1 else f"{scenes[0]}: " if scenes[0] else ""
        yield _cut(f"note: {of}{flag}")
    if len(lines) > LINES:
        yield f"note: {len(lines) - LINES} more, in the receipts and on the pages"


def counted(flags: Sequence[str]) -> str:
    """How many there are, for a cell of a table."""
    return "" if not flags else "1 note" if len(flags) == 1 else f"{len(flags)} notes"


def _cut(line: str) -> str:
    end = " ... (all of it is in the receipt)"
    return line if len(line) <= WIDTH else line[: WIDTH - len(end)] + end
