"""A provider's product as a folder of a bucket: a SAFE, Landsat's or HLS's files below one prefix.

A card has all that a reader may need of it. The metadata are fetched, and lie in a folder of this machine beside empty
files with the names of the rasters: what the provider's reader makes of that says which rasters to fetch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from srcore.catalog.elsewhere import WEB
from srcore.catalog.pattern import scene_name
from srcore.errors import SourceError
from srcore.layout import safe_id
from srcore.storage.disk.files import NO_NAME, store_error
from srcore.storage.header import Header, Origin
from srcore.storage.providers import hls, landsat, sentinel2
from srcore.storage.providers.granule import Granule, metadata_error
from srcore.storage.providers.header import granule_header, wanted_bands
from srcore.storage.providers.packed import DOCUMENT, MOST_MEMBERS, NEEDED
from srcore.storage.remote.address import scheme_of
from srcore.storage.remote.bucket import listed as objects
from srcore.storage.remote.cache import Kept
from srcore.storage.remote.card import Card, CardFile
from srcore.storage.remote.documents import tried
from srcore.storage.remote.fetch import fetch
from srcore.storage.remote.items import safe_folder
from srcore.storage.remote.transport import Seen
from srcore.storage.wish import Wish

PROVIDERS = (sentinel2, landsat, hls)
NO_PATH = ("..", Seen())
"""Stands for a key that this machine cannot have as a path."""


def product_card(address: str, scene: str = "") -> Card | None:
    """The card of the folder at an address: metadata and rasters, without previews and reports. None of a folder that
    neither ends with .SAFE nor has metadata of a product."""
    scheme, _, rest = address.partition("://")
    bucket, key = f"{scheme.lower()}://{rest.partition('/')[0]}", rest.partition("/")[2]
    below = _below(bucket, key)
    if not is_named(key) and not any(is_document(name) for name, _ in below):
        return None
    usable = len(below) <= MOST_MEMBERS and below != [NO_PATH]
    needed = [one for one in below if NEEDED.fullmatch(one[0])] if usable else below
    files = tuple(CardFile(f"{bucket}/{key}/{one}", one, seen.size, seen.etag, seen.modified) for one, seen in needed)
    updated = max((file.modified for file in files), default="")
    name = safe_id(scene or scene_name(PurePosixPath(key), None))
    return Card(f"{bucket}/{key}", name, files, updated=updated, folder=True)


def _below(bucket: str, key: str) -> list[tuple[str, Seen]]:
    """Names below a folder; NO_PATH alone where one of them is none: reading tells of it, and other scenes go on."""
    try:
        there = tried(f"{bucket}/{key}", lambda: list(objects(bucket, key, None, MOST_MEMBERS + 1)))
    except SourceError as error:
        if error.code != "OUTSIDE":
            raise
        return [NO_PATH]
    return sorted(((one[len(key) + 1 :], seen) for one, seen in there if seen is not None), key=lambda one: one[0])


def is_named(key: str) -> bool:
    """Whether a folder is a product by its name, also where its metadata are not there."""
    return key.lower().endswith(".safe")


def is_document(name: str) -> bool:
    """Whether a file describes the product of the folder that it lies in, and in no folder below."""
    return "/" not in name and any(one.DOCUMENT.fullmatch(name) for one in PROVIDERS)


def is_product(path: Path) -> bool:
    """Whether a file of this machine describes the product of its folder."""
    return is_document(path.name)


def product_of_item(card: Card) -> Card:
    """The card of an item that links to a whole product: of the bucket's folder, or of the file that describes it here;
    any other card as it is."""
    folder = safe_folder(card.files[0].href) if len(card.files) == 1 else ""
    if not folder or scheme_of(folder) in WEB:
        return card
    if scheme_of(folder):
        found = product_card(folder)
        files = () if found is None else found.files
        updated = max([card.updated, *(file.modified for file in files)])
        return replace(card, files=files, folder=True, updated=updated)
    document = sentinel2.find_document(Path(folder))
    return card if document is None else replace(card, files=(replace(card.files[0], href=str(document)),))


def read_folder(card: Card, wish: Wish) -> tuple[Header, dict[CardFile, Kept]]:
    """The header of the bands that are asked for, and what was fetched for them. SourceError as of a local product."""
    with _granule(card) as (granule, files, folder):
        bands = wanted_bands(granule, wish.bands, folder, wish.guided)
        fetched = {file: fetch(file) for file in (*_documents(card), *(files[band.path] for band in bands))}
        here = {band: replace(band, path=fetched[files[band.path]].path) for band in bands}
    every = tuple(here.get(band, band) for band in granule.bands)
    header = granule_header(replace(granule, bands=every, documents=()), tuple(here.values()), wish)
    return header, fetched


def same_as(card: Card, origins: Sequence[Origin], wish: Wish) -> bool:
    """Whether all that the scene would be read from is what a product was made of, by size and ETag; its metadata are
    fetched for that, and no raster is. SourceError as of a local product."""
    with _granule(card) as (granule, files, folder):
        bands = wanted_bands(granule, wish.bands, folder, wish.guided)
        needed = {*_documents(card), *(files[band.path] for band in bands)}
    asked = None if wish.quality is None else wish.quality.get("layer", "auto")
    layer = None if asked is None else layer_of_folder(card, asked)
    needed |= set() if layer is None else {layer[1]}
    known = {(one.href, one.size_bytes, one.etag) for one in origins}
    return all(one.mark for one in needed) and {(one.href, one.size, one.mark) for one in needed} == known


def _documents(card: Card) -> list[CardFile]:
    return [file for file in card.files if DOCUMENT.fullmatch(file.key)]


def layer_of_folder(card: Card, asked: str) -> tuple[str, CardFile] | None:
    """The name of the product's quality layer and its file, not fetched; None where it has none of that name."""
    with _granule(card) as (granule, files, _):
        name = next(iter(granule.layers), "") if asked == "auto" else asked
        return (name, files[granule.layers[name][0]]) if name in granule.layers else None


@contextmanager
def _granule(card: Card) -> Iterator[tuple[Granule, dict[Path, CardFile], Path]]:
    """What the metadata say, the files by the paths that it names, and the folder, which has no raster."""
    _refuse_unusable(card)
    with TemporaryDirectory() as scratch:
        name = (
            card.id if card.is_item else PurePosixPath(card.address).name
        )  # the address of an item is a stranger's word
        folder = Path(scratch).resolve() / name
        files = {folder.joinpath(*file.key.split("/")): file for file in card.files}
        for path, file in files.items():
            _put(path, fetch(file).path if DOCUMENT.fullmatch(file.key) else None)
        document = next((found for one in PROVIDERS if (found := one.find_document(folder)) is not None), None)
        if document is None:
            raise metadata_error(folder, "no metadata of a product, or of several", "upload the whole folder")
        yield (
            next(one for one in PROVIDERS if one.DOCUMENT.fullmatch(document.name)).read_granule(document),
            files,
            folder,
        )


def _put(path: Path, content: Path | None) -> None:
    """A copy, or an empty file; SourceError where a key is no name, StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.touch(exist_ok=False)
        else:
            shutil.copyfile(content, path)
    except OSError as error:
        if error.errno not in NO_NAME:
            raise store_error(path, error) from error
        found = f"no name of a file, {error.strerror}"
        raise metadata_error(path, found, "upload the product as its provider made it") from error


def _refuse_unusable(card: Card) -> None:
    """SourceError for what cannot be a product, before anything is written: keys are a stranger's words."""
    place = Path(PurePosixPath(card.address).name)
    if not card.files:
        raise metadata_error(place, "an empty folder", "upload the product")
    if len(card.files) > MOST_MEMBERS:
        raise metadata_error(place, f"more than {MOST_MEMBERS} files", "give the folder of one product")
    for file in card.files:
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in file.key.split("/")):
            raise SourceError(
                f"{card.address}: a key that leads elsewhere", repr(file.key[:80]), "rename it", code="OUTSIDE"
            )
