"""Which files of a source are one mosaic: those whose names have the same {scene}."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from srcore.catalog.pattern import regex_of
from srcore.errors import printable

log = logging.getLogger(__name__)


def mosaic_names(group: str, paths: Sequence[Path], *, tell: bool) -> list[str | None]:
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
