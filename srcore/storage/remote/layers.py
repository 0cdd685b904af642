"""A quality layer among the files of a scene elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srcore.storage.disk.real_file import real_file
from srcore.storage.header import Origin
from srcore.storage.providers.find import read_granule
from srcore.storage.remote.card import Card, CardFile
from srcore.storage.remote.fetch import fetch
from srcore.storage.remote.folder import is_product, layer_of_folder


def layer_of(
    path: Path, asked: str, known: Sequence[str], roots: Sequence[Path] | None
) -> tuple[str, Path, Origin | None] | None:
    """The name of the layer, its file, and where it was fetched, by the key of its asset; of `auto` the first that is
    there. None in place of where: it lies on this machine."""
    card = Card.load(path)
    if card.folder:
        found = layer_of_folder(card, asked)
        return None if found is None else (found[0], *_fetched(found[1]))
    if len(card.files) == 1 and card.files[0].is_local and is_product(Path(card.files[0].href)):
        layers = read_granule(Path(card.files[0].href), roots).layers
        own = next(iter(layers), "") if asked == "auto" else asked
        return (own, layers[own][0], None) if own in layers else None
    wanted = known if asked == "auto" else [asked]
    keys = {file.key.casefold(): file for file in card.files if file.href}
    name = next((one for one in wanted if one.casefold() in keys), None)
    if name is None:
        return None
    file = keys[name.casefold()]
    return (name, real_file(Path(file.href), roots or ()), None) if file.is_local else (name, *_fetched(file))


def _fetched(file: CardFile) -> tuple[Path, Origin]:
    kept = fetch(file)
    return kept.path, Origin(file.href, kept.sha256, kept.size, kept.etag)
