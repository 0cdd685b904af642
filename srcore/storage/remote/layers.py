"""A quality layer among the files of a scene elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srcore.storage.disk.real_file import real_file
from srcore.storage.remote.card import Card
from srcore.storage.remote.fetch import fetch
from srcore.storage.remote.folder import layer_of_folder


def layer_of(path: Path, asked: str, known: Sequence[str], roots: Sequence[Path] | None) -> tuple[str, Path] | None:
    """The name of the layer and its file, fetched, by the key of its asset; of `auto` the first that is there."""
    card = Card.load(path)
    if card.folder:
        return layer_of_folder(card, asked)
    wanted = known if asked == "auto" else [asked]
    keys = {file.key.casefold(): file for file in card.files if file.href}
    name = next((one for one in wanted if one.casefold() in keys), None)
    if name is None:
        return None
    file = keys[name.casefold()]
    return name, real_file(Path(file.href), roots or ()) if file.is_local else fetch(file).path
