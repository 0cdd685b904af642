"""Which scenes lie elsewhere: a card for each, from lists and items alone, without a byte of a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from srcore.catalog.elsewhere import WEB, Stac
from srcore.catalog.keys import WILD
from srcore.catalog.pattern import regex_of, scene_name, suffix_of
from srcore.errors import CatalogError, SourceError
from srcore.layout import safe_id
from srcore.storage.remote.address import scheme_of, shown, told_apart
from srcore.storage.remote.card import Card, CardFile
from srcore.storage.remote.documents import read_document, tried
from srcore.storage.remote.items import card_of
from srcore.storage.remote.search import described, items_of
from srcore.storage.remote.transport import Seen, look

FRESH_S = 20.0
"""A list is asked for again after so long: a command looks at its sources several times."""
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~")


@dataclass(frozen=True)
class Listed:
    """A scene elsewhere."""

    id: str
    name: str
    """Of its first file or its item, which `exclude` may match."""
    address: str
    card: Path


_LISTS: dict[str, tuple[float, tuple[Listed, ...]]] = {}


def listed(source: str | Stac, bands: Sequence[str] | None) -> tuple[Listed, ...]:
    """The scenes of a source elsewhere, and their cards, in its order.

    SourceError REMOTE_DENIED, REMOTE_GONE, REMOTE_FAILED, BAD_ITEM; CatalogError for a search that gives too many;
    StoreError when a card cannot be written.
    """
    key = f"{described(source) if isinstance(source, Stac) else source} {bands}"
    when, known = _LISTS.get(key, (float("-inf"), ()))
    if time.monotonic() - when < FRESH_S:
        return known
    found = tuple(_saved(card, name, key) for card, name in _each_once(_cards(source, bands)))
    _LISTS[key] = (time.monotonic(), found)
    return found


def forget_lists() -> None:
    """Ask again at the next look."""
    _LISTS.clear()


def card_at(address: str, asset: str | None = None) -> Path:
    """The card of one file, or of one item of STAC (a .json, or whatever answers as one), for a run without a catalog.

    SourceError where it is neither, or `asset` is asked of a file.
    """
    try:
        path = urlsplit(address).path.lower()
    except ValueError as error:
        do = "write it as https://host/path or s3://bucket/key"
        raise SourceError("no address of a file", repr(address.partition("?")[0][:80]), do, code="BAD_ITEM") from error
    if asset is not None or path.endswith((".json", ".geojson")) or "/items/" in path:
        document, base = read_document(address)
        if document.get("type") != "Feature":
            found, do = f"type {document.get('type')!r}", "give the address of one item, or of a raster"
            raise SourceError(f"{shown(address)}: no item of STAC", found, do, code="BAD_ITEM")
        card = _stamped(card_of(document, base, None if asset is None else (asset,)))
    else:
        card = _of_file(address)
    return card.save(f"{shown(address)}{told_apart(address)} {asset}")


def _saved(card: Card, name: str, key: str) -> Listed:
    return Listed(card.id, name, card.address, card.save(key))


def _each_once(cards: Iterator[tuple[Card, str]]) -> Iterator[tuple[Card, str]]:
    """A list that grows while it is read gives an item of one page on the next one, too."""
    seen: dict[str, Card] = {}
    for card, name in cards:
        before = seen.setdefault(card.id, card)
        if before is card or before != card:
            yield card, name


def _cards(source: str | Stac, bands: Sequence[str] | None) -> Iterator[tuple[Card, str]]:
    if isinstance(source, Stac):
        for count, (item, base) in enumerate(items_of(source)):
            if count >= source.most:
                found, do = f"more than {source.most} items", "narrow the search, or raise `most`"
                raise CatalogError(f"{source} gives too many scenes", found, do)
            card = _stamped(card_of(item, base, source.assets))
            yield card, str(item.get("id") or card.id)
    elif scheme_of(source) in WEB:
        card = _of_file(source)
        yield card, card.files[0].name
    else:
        yield from _of_bucket(source, bands)


def _of_file(address: str) -> Card:
    from srcore.storage.remote.fetch import remember_signed

    plain = shown(address)
    if plain != address:
        remember_signed(plain, address)
    file = replace(_card_file(plain, tried(address, lambda: look(address))), apart=told_apart(address))
    return Card(plain, safe_id(scene_name(PurePosixPath(file.name), None)), (file,), updated=_when(file.modified))


def _card_file(address: str, seen: Seen) -> CardFile:
    return CardFile(address, "", seen.size, seen.etag, seen.modified)


def _when(modified: str) -> str:
    """RFC 3339 of what HTTP writes its own way."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(modified).isoformat() if "," in modified else modified
    except ValueError:
        return ""


def _stamped(card: Card) -> Card:
    """The card with size and time of the files that lie on this machine."""
    return replace(card, files=tuple(_stamp(one) if one.href and one.is_local else one for one in card.files))


def _stamp(file: CardFile) -> CardFile:
    try:
        status = Path(file.href).stat()
    except OSError:
        return file  # reading it says what is wrong
    return replace(file, size=status.st_size, modified=str(status.st_mtime_ns))


def _of_bucket(source: str, bands: Sequence[str] | None) -> Iterator[tuple[Card, str]]:
    """The objects that a pattern matches; those that differ in {band} alone are one scene."""
    from srcore.storage.remote.bucket import listed as objects

    scheme, _, rest = source.partition("://")
    scheme, (name, _, pattern) = scheme.lower(), rest.partition("/")
    regex, suffix = regex_of(pattern, bands or ()), suffix_of(pattern)
    start = pattern[: match.start()] if (match := WILD.search(pattern)) else pattern[: len(pattern) - len(suffix)]
    groups: dict[tuple[str, str], dict[str, tuple[str, str, Seen]]] = {}
    folder = start.rpartition("/")[0]
    depth = None if "**/" in pattern else pattern.count("/") - (folder.count("/") + 1 if folder else 0)
    for key, seen in tried(source, lambda: list(objects(f"{scheme}://{name}", folder, depth))):
        found = regex.fullmatch(key)
        if found is None or key.lower().endswith(UNFINISHED) or any(part[:1] == "." for part in key.split("/")):
            continue
        parts, path = found.groupdict(), PurePosixPath(key)
        band = (found.start("band"), found.end("band")) if "band" in parts else None
        before, after = (key[: band[0]], key[band[1] :]) if band else ("", key)
        scene = parts.get("scene") or scene_name(path, band)
        groups.setdefault((before, after), {})[parts.get("band") or ""] = (scene, key, seen)
    for (before, after), there in sorted(groups.items()):
        yield _of_group(f"{scheme}://{name}", before, after, there, bands if "{band}" in pattern else None)


def _of_group(
    bucket: str, before: str, after: str, there: dict[str, tuple[str, str, Seen]], bands: Sequence[str] | None
) -> tuple[Card, str]:
    scene, first, _ = next(iter(there.values()))
    if bands is None:
        files = tuple(_card_file(f"{bucket}/{key}", seen) for _, key, seen in there.values())
    else:
        wanted = [(band, there.get(band, ("", before + band + after, Seen()))) for band in bands]
        files = tuple(replace(_card_file(f"{bucket}/{key}", seen), key=band) for band, (_, key, seen) in wanted)
    updated = max(file.modified for file in files)
    address = f"{bucket}/{first if bands is None else f'{before}{{band}}{after}'}"
    return Card(address, safe_id(scene), files, joined=bands is not None, updated=updated), PurePosixPath(first).name
