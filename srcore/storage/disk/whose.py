"""Which source a private id stands for: one small record a scene, beside the key, so outside every store.

    KEY.whose/ID.PLACE.json    mode 600 in a folder of mode 700; PLACE: keyed hash of store and dataset

Without these records an archive whose sources are gone could not be told from one of anybody else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from srcore.errors import printable
from srcore.settings import load_settings
from srcore.storage.disk.files import fsync_folder, store_error, write_atomic
from srcore.storage.disk.veil import veiled


@dataclass(frozen=True)
class Whose:
    """What a private id stands for."""

    scene: str
    dataset: str
    store: str
    paths: tuple[str, ...]
    """What the dataset's source named: a folder, a zip, or files."""


def remember(scene: str, dataset: str, store: Path, paths: Sequence[Path]) -> None:
    """Note what an id stands for; StoreError where that cannot be written: then nothing is made of the scene."""
    whose = Whose(scene, dataset, str(store), tuple(printable(str(path)) for path in paths))
    path = _record(whose.scene, whose.dataset, store)
    if whose in _read(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise store_error(path, error) from error
    write_atomic(path, json.dumps(asdict(whose), indent=1).encode(), mode=0o600)


def whose(scene: str) -> list[Whose]:
    """Everything that an id stands for, in all stores that this user's runs wrote to."""
    folder = _folder()
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [one for path in paths if path.name.startswith(f"{scene}.") for one in _read(path) if one.scene == scene]


def forget(scene: str, dataset: str, store: Path) -> None:
    """Remove what was noted of an id."""
    path = _record(scene, dataset, store)
    with suppress(FileNotFoundError):
        path.unlink()
        fsync_folder(path.parent)


def _folder() -> Path:
    key = load_settings().key_file
    return key.with_name(f"{key.name}.whose")


def _record(scene: str, dataset: str, store: Path) -> Path:
    place = veiled("\n".join((str(store), dataset)), 8)
    return _folder() / f"{scene}.{place}.json"


def _read(path: Path) -> list[Whose]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return [Whose(**{**value, "paths": tuple(value["paths"])})]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # none, or damaged: the next run writes it anew
