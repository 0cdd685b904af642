"""A card: what is known of a scene elsewhere before a byte of it is fetched. Its own bytes are the scene's identity.

Whatever changes there changes the card: a size, an ETag, a checksum, the item's `updated`. Its time is that of the
change, with the digest in its nanoseconds, so that size and time tell two cards apart, on every machine alike.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.storage.disk.card import CARD, card_bytes, cards_folder
from srcore.storage.disk.files import store_error, write_atomic
from srcore.storage.remote.address import file_name

FORMAT = 1
SECOND_NS = 10**9
LATEST_S = 2**32 - 1
"""Of a file system's clock: the year 2106."""
UPDATED = "updated "
"""Begins a mark that is the item's, and no ETag."""


@dataclass(frozen=True)
class CardBand:
    """What an item says of a band of a file."""

    name: str = ""
    common: str = ""
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None

    def is_called(self, name: str) -> bool:
        """Upper and lower case do not count."""
        return name.casefold() in {one.casefold() for one in (self.name, self.common) if one}


@dataclass(frozen=True)
class CardFile:
    """A file of a scene."""

    href: str
    """Its address without secrets, or its path on this machine."""
    key: str = ""
    """Of the asset in its item."""
    size: int | None = None
    mark: str = ""
    """ETag, or when the item was updated: with other bytes it is another."""
    modified: str = ""
    checksum: str = ""
    """Multihash in hex (file:checksum)."""
    bands: tuple[CardBand, ...] = ()
    gsd_m: float | None = None
    apart: str = ""
    """Tells it from others with the same `href` (`told_apart`)."""
    inward: bool = False
    """Its link leads to this machine's own network, and is not followed."""

    @property
    def is_local(self) -> bool:
        """True of a file that need not be fetched."""
        return "://" not in self.href

    @property
    def name(self) -> str:
        """Of the file in the cache."""
        return file_name(self.href)

    @property
    def digest(self) -> str:
        """Names its place in the cache: other bytes lie elsewhere."""
        facts = [self.href, self.size, self.mark, self.modified, self.checksum, self.apart]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Card:
    """A scene elsewhere."""

    address: str
    """Of the item, the object or the file, without secrets."""
    id: str
    files: tuple[CardFile, ...]
    joined: bool = False
    """The files hold one band each, in the order of the dataset's `bands`."""
    chosen: bool = False
    """The dataset named these files: all of them make the scene."""
    first: str = ""
    last: str = ""
    """When it was taken, by the item."""
    crs: str = ""
    """As EPSG:NNNN, by the item."""
    is_item: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)
    """For the product's item: cloud cover, sun, platform."""
    updated: str = ""
    """When it changed last, as far as that is told."""
    folder: bool = False
    """A provider's product: the files lie below its address, their keys say where."""
    mosaic: bool = False
    """The files are parts of one scene, with all bands each."""

    def save(self, source: str) -> Path:
        """Write it where cards of `source` lie, unless it stands there; gives its path. StoreError."""
        group = hashlib.sha256(source.encode()).hexdigest()[:16]
        path = cards_folder() / group / f"{self.id}{CARD}"
        told = {
            name: value for name, value in vars(self).items() if name not in ("folder", "mosaic") or value
        }  # others stay as they were
        content = json.dumps({"format": FORMAT, **told}, sort_keys=True, default=vars).encode()
        try:
            same = path.read_bytes() == content
        except OSError:
            same = False
        when = _moment_ns(self.updated, content)
        try:
            if not same:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, content)
            if path.stat().st_mtime_ns != when:
                os.utime(path, ns=(when, when))
        except OSError as error:
            raise store_error(path, error) from error
        return path

    @classmethod
    def load(cls, path: Path) -> Card:
        """The card at `path`; SourceError where it is gone."""
        value = json.loads(card_bytes(path))
        value.pop("format")
        files = tuple(_file(one) for one in value.pop("files"))
        return cls(files=files, **value)


def local_files(path: Path) -> tuple[Path, ...]:
    """Files on this machine that the card at `path` names."""
    return tuple(Path(file.href) for file in Card.load(path).files if file.href and file.is_local)


def bytes_told(path: Path) -> int:
    """What the files of a card have together, as far as that is told before they are fetched."""
    return sum(file.size or 0 for file in Card.load(path).files)


def _file(value: dict[str, Any]) -> CardFile:
    return CardFile(**{**value, "bands": tuple(CardBand(**band) for band in value["bands"])})


def _moment_ns(updated: str, content: bytes) -> int:
    """The second of the change, and nanoseconds that stand for the content."""
    part = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") % SECOND_NS
    try:
        when = datetime.fromisoformat(updated)
        seconds = int((when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return part  # nobody knows: 1970
    return min(max(0, seconds), LATEST_S) * SECOND_NS + part
