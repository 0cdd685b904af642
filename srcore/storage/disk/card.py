"""Small files that stand for scenes elsewhere: where they lie, and what records call them."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

from srcore.errors import SourceError
from srcore.settings import load_settings

CARD = ".remote"


DECIDING = ("SRCORE_CACHE", "XDG_CACHE_HOME", "HOME")


def cards_folder() -> Path:
    """Where cards lie, without links; nothing else there, and no card anywhere else."""
    return _folder(tuple(map(os.environ.get, DECIDING)))


@lru_cache(maxsize=8)  # asked of every scene several times
def _folder(_environment: tuple[str | None, ...]) -> Path:
    return Path(os.path.realpath(load_settings().cache_folder / "remote" / "cards"))


def is_card(path: Path) -> bool:
    """Whether a path is that of a card, be it there or not."""
    if not path.name.endswith(CARD):
        return False
    place, folder = path.parent.parent, cards_folder()
    return place == folder or Path(os.path.realpath(place)) == folder


def told_of(path: Path) -> str:
    """What a record calls a file: its path; of a card the address, which is the same on every machine."""
    if not is_card(path):
        return str(path)
    try:
        return str(json.loads(path.read_bytes())["address"])
    except (OSError, ValueError, KeyError):
        return str(path)


def card_bytes(path: Path) -> bytes:
    """What stands on a card; SourceError where it is gone."""
    try:
        return path.read_bytes()
    except OSError as error:
        what, do = f"the card of {path.name.removesuffix(CARD)} is gone from the cache", "run again"
        raise SourceError(what, error.strerror or str(error), do, code="NOT_READABLE") from error
