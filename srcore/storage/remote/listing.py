"""Which scenes lie elsewhere: a card for each, from lists and items alone, without a byte of a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import urlsplit

from srcore.catalog.elsewhere import WEB, Stac
from srcore.catalog.keys import WILD
from srcore.catalog.pattern import regex_of, scene_name, suffix_of
from srcore.errors import CatalogError, SourceError
from srcore.layout import safe_id
from srcore.storage.archive.mosaics import Parts
from srcore.storage.remote.address import scheme_of, shown, told_apart
from srcore.storage.remote.card import Card, CardFile
from srcore.storage.remote.documents import read_document, tried
from srcore.storage.remote.folder import is_document, is_named, product_card, product_of_item
from srcore.storage.remote.items import Box, box_of, card_of
from srcore.storage.remote.search import described, items_of
from srcore.storage.remote.transport import Seen, look

FRESH_S = 20.0
"""A list is asked for again after so long: a command looks at its sources several times."""
LISTS = 16
"""Folders of a bucket that are listed at a time."""
Named: TypeAlias = tuple[Card, str, Box | None]
"""A card, what `exclude` may match, and where its item says that it lies."""
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~")


@dataclass(frozen=True)
class Listed:
    """A scene elsewhere."""

    id: str
    name: str
    """Of its first file or its item, which `exclude` may match."""
    address: str
    card: Path
    box: Box | None = None
    """Where its item says that it lies: west, south, east, north in degrees."""
    taken: tuple[str, str] = ("", "")
    """First and last second by its item; '' where it does not say them."""


_LISTS: dict[str, tuple[float, tuple[Listed, ...]]] = {}


def listed(source: str | Stac, bands: Sequence[str] | None, parts: Parts | None = None) -> tuple[Listed, ...]:
    """The scenes of a source elsewhere, and their cards, in its order. `parts`: several objects of a bucket are one.

    SourceError REMOTE_DENIED, REMOTE_GONE, REMOTE_FAILED, BAD_ITEM; CatalogError for a search that gives too many;
    StoreError when a card cannot be written.
    """
    key = f"{described(source) if isinstance(source, Stac) else source} {bands}{'' if parts is None else f' {parts}'}"
    asked = f"{key} {source!r}"  # of a narrowed one, what it asks for
    when, known = _LISTS.get(asked, (float("-inf"), ()))
    if time.monotonic() - when < FRESH_S:
        return known
    found = tuple(_saved(*one, key) for one in _each_once(_cards(source, bands, parts)))
    _LISTS[asked] = (time.monotonic(), found)
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
    if scheme_of(address) not in WEB and asset is None and path.endswith((".safe", "/")):
        card = _product(address.rstrip("/"))
    elif asset is not None or path.endswith((".json", ".geojson")) or "/items/" in path:
        document, base = read_document(address)
        if document.get("type") != "Feature":
            found, do = f"type {document.get('type')!r}", "give the address of one item, or of a raster"
            raise SourceError(f"{shown(address)}: no item of STAC", found, do, code="BAD_ITEM")
        card = _stamped(product_of_item(card_of(document, base, None if asset is None else (asset,))))
    else:
        card = _of_file_or_folder(address)
    return card.save(f"{shown(address)}{told_apart(address)} {asset}")


def _saved(card: Card, name: str, box: Box | None, key: str) -> Listed:
    return Listed(card.id, name, card.address, card.save(key), box, (card.first, card.last))


def _each_once(cards: Iterator[Named]) -> Iterator[Named]:
    """A list that grows while it is read gives an item of one page on the next one, too."""
    seen: dict[str, Card] = {}
    for card, name, box in cards:
        before = seen.setdefault(card.id, card)
        if before is card or before != card:
            yield card, name, box


def _cards(source: str | Stac, bands: Sequence[str] | None, parts: Parts | None) -> Iterator[Named]:
    if isinstance(source, Stac):
        for count, (item, base) in enumerate(items_of(source)):
            if count >= source.most:
                found, do = f"more than {source.most} items", "narrow the search, or raise `most`"
                raise CatalogError(f"{source} gives too many scenes", found, do)
            card = _stamped(product_of_item(card_of(item, base, source.assets)))
            yield card, str(item.get("id") or card.id), box_of(item)
    elif scheme_of(source) in WEB:
        card = _of_file(source)
        yield card, card.files[0].name, None
    else:
        yield from ((*one, None) for one in _of_bucket(source, bands, parts))


def _of_file(address: str) -> Card:
    from srcore.storage.remote.fetch import remember_signed

    plain = shown(address)
    if plain != address:
        remember_signed(plain, address)
    file = replace(_card_file(plain, tried(address, lambda: look(address))), apart=told_apart(address))
    return Card(plain, safe_id(scene_name(PurePosixPath(file.name), None)), (file,), updated=_when(file.modified))


def _of_file_or_folder(address: str) -> Card:
    """The card of a file, or of a product whose folder was named without a / behind it."""
    try:
        return _of_file(address)
    except SourceError as error:
        card = product_card(address) if error.code == "REMOTE_GONE" and scheme_of(address) not in WEB else None
        if card is None:
            raise
        return card


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


def _product(address: str) -> Card:
    """The card of a folder that was named; SourceError where it is no product."""
    card = product_card(address)
    if card is None:
        do = "give a SAFE, Landsat or HLS folder, or a pattern of its files"
        raise SourceError(
            f"{address}: no product of a provider", "a folder without its metadata", do, code="BAD_METADATA"
        )
    return card


def _of_bucket(source: str, bands: Sequence[str] | None, mosaic: Parts | None) -> Iterator[tuple[Card, str]]:
    """The objects that a pattern matches; those that differ in {band} alone are one scene, those of one mosaic, and a
    provider's folder."""
    scheme, _, rest = source.partition("://")
    name, _, pattern = rest.partition("/")
    bucket, regex = f"{scheme.lower()}://{name}", regex_of(pattern, bands or ())
    groups: dict[tuple[str, str], dict[str, tuple[str, str, Seen]]] = {}
    folders: list[tuple[str, str]] = []
    for key, seen in _keys(source, bucket, pattern, regex):
        found = regex.fullmatch(key)
        if found is None or key.lower().endswith(UNFINISHED) or any(part[:1] == "." for part in key.split("/")):
            continue
        parts, path = found.groupdict(), PurePosixPath(key)
        band = (found.start("band"), found.end("band")) if "band" in parts else None
        scene = parts.get("scene") or scene_name(path, band)
        if seen is None:
            folders.append((key, scene))
            continue
        before, after = (key[: band[0]], key[band[1] :]) if band else ("", key)
        groups.setdefault((before, after), {})[parts.get("band") or ""] = (scene, key, seen)
    if mosaic is not None:
        yield from _of_mosaics(bucket, mosaic, {key: seen for one in groups.values() for _, key, seen in one.values()})
        return
    for (before, after), there in sorted(groups.items()):
        yield _of_group(bucket, before, after, there, bands if "{band}" in pattern else None)
    yield from _of_folders(bucket, [] if "{band}" in pattern else sorted(folders))


def _of_mosaics(bucket: str, parts: Parts, there: dict[str, Seen]) -> Iterator[tuple[Card, str]]:
    """Mosaics by name, and their objects as a folder's files: folder by folder."""
    keys, mosaics = sorted(there, key=lambda key: key.split("/")), dict[str, list[str]]()
    for key, name in zip(keys, parts.names(keys), strict=True):
        if name is not None:
            mosaics.setdefault(name, []).append(key)
    for name, own in sorted(mosaics.items()):
        files = tuple(_card_file(f"{bucket}/{key}", there[key]) for key in own)
        above = "".join(f"{part}/" for part in own[0].split("/")[: -1 - parts.group.count("/")])
        address = f"{bucket}/{above}{parts.group.replace('{scene}', name)}"
        updated = max(file.modified for file in files)
        yield Card(address, safe_id(name), files, updated=updated, mosaic=True), PurePosixPath(own[0]).name


def _of_folders(bucket: str, folders: Sequence[tuple[str, str]]) -> Iterator[tuple[Card, str]]:
    """Those that are products; each is a list of its own, so several are asked for at a time."""
    with ThreadPoolExecutor(LISTS) as pool:
        for (key, _), card in zip(
            folders, pool.map(lambda one: product_card(f"{bucket}/{one[0]}", one[1]), folders), strict=True
        ):
            if card is not None:
                yield card, PurePosixPath(key).name


def _keys(source: str, bucket: str, pattern: str, regex: re.Pattern[str]) -> list[tuple[str, Seen | None]]:
    """What may match a pattern: objects, and folders with None."""
    from srcore.storage.remote.bucket import listed as objects

    suffix = suffix_of(pattern)
    start = pattern[: match.start()] if (match := WILD.search(pattern)) else pattern[: len(pattern) - len(suffix)]
    folder = start.rpartition("/")[0]
    depth = None if "**/" in pattern else pattern.count("/") - (folder.count("/") + 1 if folder else 0)
    found = tried(source, lambda: list(objects(bucket, folder, depth)))
    if depth is not None:
        return found
    held = {key.rpartition("/")[0] for key, _ in found if is_document(key.rpartition("/")[2])}
    parents = {one for key, _ in found for one in list(_way(key))[:-1]}
    products = {one for one in parents if regex.fullmatch(one) and (is_named(one) or one in held)}
    # nothing in them, nor the empty object that some tools leave for a folder
    others = [(key, seen) for key, seen in found if products.isdisjoint(_way(key))]
    return [*others, *((one, None) for one in sorted(products))]


def _way(key: str) -> Iterator[str]:
    """The folders that lead to a key, and the key."""
    return accumulate(key.split("/"), "{}/{}".format)


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
