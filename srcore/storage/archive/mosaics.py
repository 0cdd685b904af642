"""Which files of a source are one mosaic: those whose names have the same {scene}."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath, PurePosixPath

from srcore.catalog.pattern import regex_of
from srcore.errors import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """How the objects of a bucket are made into mosaics."""

    group: str
    exclude: tuple[str, ...] = ()
    """Patterns of names, or with a / of ends of keys."""
    excluded: bool = False
    """True: of those alone that `exclude` leaves out."""

    def names(self, keys: Sequence[str]) -> list[str | None]:
        """The name of the mosaic that each object is a part of; None for one that is of none."""
        out = [regex_of(one if "/" not in one else f"**/{one.lstrip('./')}", ()) for one in self.exclude]
        paths = [PurePosixPath(key) for key in keys]
        left = [any(regex.fullmatch(path.name) or regex.fullmatch(str(path)) for regex in out) for path in paths]
        kept = [path for path, is_left in zip(paths, left, strict=True) if is_left is self.excluded]
        found = iter(mosaic_names(self.group, kept, tell=not self.excluded))
        return [next(found) if is_left is self.excluded else None for is_left in left]


def mosaic_names(group: str, paths: Sequence[PurePath], *, tell: bool) -> list[str | None]:
    """The name of the mosaic that each file is a part of; None, and to `tell` a warning, for one that is of none."""
    regex, depth = regex_of(group, ()), group.count("/")
    found = [regex.fullmatch("/".join(path.as_posix().split("/")[-1 - depth :])) for path in paths]
    lost = [path for path, match in zip(paths, found, strict=True) if match is None]
    if lost and tell:
        _tell_of_lost(group, len(lost), printable(lost[0].name))
    return [None if match is None else match["scene"] for match in found]


@lru_cache(maxsize=256)  # a command looks for the scenes of a dataset several times
def _tell_of_lost(group: str, count: int, example: str) -> None:
    log.warning("mosaic group %r leaves files out: %d, as %s", group, count, example)
