"""An object store behind the store's seam: whole objects by name, conditional puts, read back.

    get, list, find, folders     a request each (a listing: one for 1000 objects)
    put_if                       put where the version is still the one that was read; refused: get, for an answer that
                                 was lost looks like somebody who was first
    take                         upload, read back, compare; the files go when all are there

No name changes what another one holds, and nothing is renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from srcore.errors import AwayError, StoreError
from srcore.regular import MAX_RECORD_BYTES
from srcore.storage.disk.files import sha256_file
from srcore.storage.disk.store import Stored
from srcore.storage.objects.client import MISSING, client, refuse_careless, told

AT_ONCE = 1000
"""Objects that one request deletes."""
PIECE_BYTES = 32 << 20
"""That one request reads of a large object."""
PART_BYTES, MOST_PARTS, PARTS_AT_ONCE = 8 << 20, 9000, 4
"""Of a large upload; S3 takes 10,000 parts."""
SENDING_BYTES = 256 << 20
"""That parts on their way take in memory, but for a single one."""
MOST_BYTES = 5 << 40
"""Of an object of S3."""


class Content(bytes):
    """What was read of an object, and which version of it that was: `put_if` need not look again."""

    version: Mapping[str, Any]


@dataclass(frozen=True)
class ObjectStore:
    """What lies below one name of an object store."""

    address: str
    below: str = ""
    """'' for all of it."""

    @property
    def place(self) -> str:
        """How people call it."""
        return "/".join(filter(None, (self.address, self.below)))

    def get(self, name: str) -> Content | None:
        """See Store; AwayError where it does not answer, here and in all that follow."""
        try:
            with told(self.address):
                found = client(self.address).get(self._key(name))
                if found.meta["size"] > MAX_RECORD_BYTES:
                    raise _too_large(f"{self.place}/{name}")
                content = Content(found.bytes())
        except FileNotFoundError:
            return None
        content.version = {key: found.meta[key] for key in ("e_tag", "version") if found.meta.get(key) is not None}
        return content

    def put(self, name: str, data: bytes) -> None:
        """See Store."""
        with told(self.address):
            client(self.address).put(self._key(name), data, use_multipart=False)

    def put_if(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """See Store; of several callers at once with the same expectation one gets True, whatever is expected.

        `data` differs from caller to caller: by it one knows its own where the answer was lost.
        """
        seen = expected if expected is None or isinstance(expected, Content) else self.get(name)
        if seen != expected:
            return False
        refuse_careless(self.address)
        mode: Any = "create" if seen is None else seen.version
        try:
            with told(self.address):
                if _put_under(client(self.address), self._key(name), data, mode):
                    return True
        except AwayError:
            if self.get(name) != data:  # raises by itself where the store is still away
                raise
            return True
        return self.get(name) == data

    def take(self, files: Mapping[str, Path]) -> None:
        """See Store; StoreError VERIFY_FAILED for what reads back as something else. Not all at once: who names the
        objects does so later."""
        for name, file in _flat(files).items():
            part, at_once = parts_of(name, file.stat().st_size)
            with told(self.address):
                client(self.address).put(self._key(name), file, chunk_size=part, max_concurrency=at_once)
            sha256 = sha256_file(file)
            if (found := self.sha256(name)) != sha256:
                what, do = f"{name} was not stored as it was sent", "run again; look at the store"
                raise StoreError(what, found or "nothing", do, code="VERIFY_FAILED")
        for file in files.values():
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()

    def sha256(self, name: str) -> str | None:
        """Of an object's content, read in pieces, as 64 hex digits; None when there is none."""
        digest = hashlib.sha256()
        try:
            for piece in self._pieces(name):
                digest.update(piece)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def open(self, name: str) -> ObjectContent | None:
        """See Store."""
        try:
            with told(self.address):
                meta = client(self.address).head(self._key(name))
        except FileNotFoundError:
            return None
        return ObjectContent(self.address, self._key(name), meta["size"], meta["e_tag"])

    def fetch(self, name: str, file: Path) -> str | None:
        """Write an object's content to a file; gives its sha256, None when there is none."""
        digest, pieces = hashlib.sha256(), self._pieces(name)
        try:
            first = next(pieces, memoryview(b""))
            with open(file, "wb") as target:
                for piece in chain([first], pieces):
                    digest.update(piece)
                    target.write(piece)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def _pieces(self, name: str) -> Iterator[memoryview]:
        """The content of an object: one request where a piece holds it, else one a piece; FileNotFoundError when there
        is none."""
        key = self._key(name)
        with told(self.address):
            whole = client(self.address).get(key)
            meta = whole.meta
            if meta["size"] <= PIECE_BYTES:
                yield memoryview(whole.bytes())
                return
        del whole  # its content was not asked for yet
        yield from ObjectContent(self.address, key, meta["size"], meta["e_tag"]).pieces(0, meta["size"])

    def list(self, below: str = "", *, deep: bool = False) -> list[Stored]:
        """See Store."""
        if deep:
            return sorted(self.each(below), key=lambda one: one.name)
        prefix = self._key(below)
        with told(self.address):
            found = client(self.address).list_with_delimiter(prefix or None)["objects"]
        return sorted(self._shown(below, prefix, found), key=lambda one: one.name)

    def each(self, below: str = "") -> Iterator[Stored]:
        """Every object of `list(below, deep=True)` in the store's order, as the pages of the listing come."""
        prefix = self._key(below)
        with told(self.address):
            batches = iter(client(self.address).list(prefix=prefix or None))
        while True:
            with told(self.address):
                batch = next(batches, None)
            if batch is None:
                return
            yield from self._shown(below, prefix, batch)

    def _shown(self, below: str, prefix: str, found: Iterable[Mapping[str, Any]]) -> Iterator[Stored]:
        """The objects of a listing by their names here, but those on their way."""
        before, start = f"{below}/" if below else "", len(prefix) + 1 if prefix else 0
        for one in found:
            name = before + one["path"][start:]
            if not any(part.startswith(".") for part in name.split("/")):
                yield _stored(name, one)

    def find(self, name: str) -> Stored | None:
        """See Store."""
        try:
            with told(self.address):
                return _stored(name, client(self.address).head(self._key(name)))
        except FileNotFoundError:
            return None

    def keeps_versions(self, name: str) -> bool:
        """Whether an object that is there would outlive its deletion, as a version; not known of Google's."""
        if self.address.startswith("gs:"):  # each object of these has a version, kept or not
            return False
        try:
            with told(self.address):
                version = client(self.address).head(self._key(name)).get("version")
        except FileNotFoundError:
            return False
        return version not in (None, "null")

    def folders(self) -> tuple[str, ...]:
        """See Store."""
        with told(self.address):
            found = client(self.address).list_with_delimiter(self.below or None)["common_prefixes"]
        names = (one.rstrip("/").rpartition("/")[2] for one in found)
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def delete(self, *names: str) -> None:
        """See Store."""
        keys = [self._key(name) for name in names]
        for start in range(0, len(keys), AT_ONCE):
            self._delete(keys[start : start + AT_ONCE])

    def _delete(self, keys: Sequence[str]) -> None:
        try:
            with told(self.address):
                client(self.address).delete(keys)
        except FileNotFoundError:  # Google and Azure mind one that is not there
            if len(keys) > 1:
                for key in keys:
                    self._delete([key])

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self.below, name)))


def parts_of(name: str, size: int) -> tuple[int, int]:
    """Bytes of a part of an upload, and how many parts are sent at once; StoreError TOO_LARGE for what S3 does not
    take."""
    if size > MOST_BYTES:
        do = "use a store that is a folder, or make parts of the scene"
        raise StoreError(f"{name} is larger than an object can be", f"{size:,} bytes", do, code="TOO_LARGE")
    part = max(PART_BYTES, -(-size // MOST_PARTS))
    return part, max(1, min(PARTS_AT_ONCE, SENDING_BYTES // part))


@dataclass(frozen=True)
class ObjectContent:
    """Of an object; see Content."""

    address: str
    key: str
    size_bytes: int
    e_tag: str | None

    @property
    def mark(self) -> str:
        """See Content: by a hash, for it may be anything."""
        return hashlib.sha256(f"{self.e_tag} {self.size_bytes}".encode()).hexdigest()[:32]

    def pieces(self, start: int, end: int) -> Iterator[memoryview]:
        """See Content: a request a piece, for a request ends after a time, and an object has any size.

        FileNotFoundError when it is gone; AwayError also where it was replaced meanwhile.
        """
        held = {} if self.e_tag is None else {"if_match": self.e_tag}
        for at in range(start, end, PIECE_BYTES):
            with told(self.address):
                part = {"range": (at, min(at + PIECE_BYTES, end)), **held}
                yield memoryview(client(self.address).get(self.key, options=part).bytes())

    def close(self) -> None:
        """See Content: nothing is held."""


def _too_large(name: str) -> StoreError:
    why = os.strerror(errno.EFBIG)
    return StoreError(f"{name} cannot be read", f"{why}: more than {MAX_RECORD_BYTES} bytes", "move it away")


def _put_under(opened: Any, key: str, data: bytes, mode: Any) -> bool:
    """A put that nobody else may have come before; False where somebody did, or this put itself, unanswered."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        opened.put(key, data, mode=mode, use_multipart=False)
    except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
        if MISSING.search(str(error)):  # the bucket, and not what was to be replaced
            raise
        return False
    return True


def _flat(files: Mapping[str, Path]) -> dict[str, Path]:
    """The files of folders under their names, too."""
    found: dict[str, Path] = {}
    for name, file in files.items():
        inside = sorted(file.iterdir()) if file.is_dir() else []
        found |= {f"{name}/{one.name}": one for one in inside} if file.is_dir() else {name: file}
    return found


def _stored(name: str, meta: Mapping[str, Any]) -> Stored:
    return Stored(name, meta["size"], int(meta["last_modified"].timestamp() * 1e9))
