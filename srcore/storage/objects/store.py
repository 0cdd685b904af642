"""An object store behind the store's seam: whole objects by name, conditional puts, read back.

    get, list, find, folders     a request each (a listing: one for 1000 objects)
    put_if                       get, put where the version is still that one, get: also right where an answer was lost
    take                         upload, read back, compare; the files go when all are there

No name changes what another one holds, and nothing is renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srcore.errors import AwayError, StoreError
from srcore.regular import MAX_RECORD_BYTES
from srcore.storage.disk.files import sha256_file
from srcore.storage.disk.store import Stored
from srcore.storage.objects.client import client, refuse_careless, told

AT_ONCE = 1000
"""Objects that one request deletes."""
PIECE_BYTES = 32 << 20
"""That one request reads of a large object."""
PART_BYTES, MOST_PARTS, PARTS_AT_ONCE = 8 << 20, 9000, 4
"""Of a large upload; S3 takes 10,000 parts."""


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

    def get(self, name: str) -> bytes | None:
        """See Store; AwayError where it does not answer, here and in all that follow."""
        found = self._read(name)
        return None if found is None else found[0]

    def put(self, name: str, data: bytes) -> None:
        """See Store."""
        with told(self.address):
            client(self.address).put(self._key(name), data, use_multipart=False)

    def put_if(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """See Store; of several callers at once with the same expectation one gets True, whatever is expected.

        `data` differs from caller to caller: by it one knows its own where the answer was lost.
        """
        there = self._read(name)
        if (None if there is None else there[0]) != expected:
            return False
        refuse_careless(self.address)
        mode: Any = "create" if there is None else there[1]
        try:
            with told(self.address):
                _put_under(client(self.address), self._key(name), data, mode)
        except AwayError:
            if self.get(name) != data:  # raises by itself where the store is still away
                raise
        return self.get(name) == data

    def take(self, files: Mapping[str, Path]) -> None:
        """See Store; StoreError VERIFY_FAILED for what reads back as something else. Not all at once: who names the
        objects does so later."""
        for name, file in _flat(files).items():
            part = max(PART_BYTES, -(-file.stat().st_size // MOST_PARTS))
            with told(self.address):
                client(self.address).put(self._key(name), file, chunk_size=part, max_concurrency=PARTS_AT_ONCE)
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
        digest, found = hashlib.sha256(), self.open(name)
        if found is None:
            return None
        try:
            for piece in found.pieces(0, found.size_bytes):
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
        digest, found = hashlib.sha256(), self.open(name)
        if found is None:
            return None
        try:
            with open(file, "wb") as target:
                for piece in found.pieces(0, found.size_bytes):
                    digest.update(piece)
                    target.write(piece)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def list(self, below: str = "", *, deep: bool = False) -> list[Stored]:
        """See Store."""
        before, prefix = f"{below}/" if below else "", self._key(below)
        with told(self.address):
            if deep:
                batches = client(self.address).list(prefix=prefix or None)
                found = [one for batch in batches for one in batch]
            else:
                found = client(self.address).list_with_delimiter(prefix or None)["objects"]
        start = len(prefix) + 1 if prefix else 0
        named = [_stored(before + one["path"][start:], one) for one in found]
        shown = [one for one in named if not any(part.startswith(".") for part in one.name.split("/"))]
        return sorted(shown, key=lambda one: one.name)

    def find(self, name: str) -> Stored | None:
        """See Store."""
        try:
            with told(self.address):
                return _stored(name, client(self.address).head(self._key(name)))
        except FileNotFoundError:
            return None

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

    def _read(self, name: str) -> tuple[bytes, dict[str, Any]] | None:
        """The content, and what says that it is still the same."""
        try:
            with told(self.address):
                found = client(self.address).get(self._key(name))
                if found.meta["size"] > MAX_RECORD_BYTES:
                    raise _too_large(f"{self.place}/{name}")
                version = {key: found.meta[key] for key in ("e_tag", "version") if found.meta.get(key) is not None}
                return bytes(found.bytes()), version
        except FileNotFoundError:
            return None


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


def _put_under(opened: Any, key: str, data: bytes, mode: Any) -> None:
    """A put that nobody else may have come before; who did is seen by reading."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        opened.put(key, data, mode=mode, use_multipart=False)
    except (AlreadyExistsError, PreconditionError, FileNotFoundError):
        return


def _flat(files: Mapping[str, Path]) -> dict[str, Path]:
    """The files of folders under their names, too."""
    found: dict[str, Path] = {}
    for name, file in files.items():
        inside = sorted(file.iterdir()) if file.is_dir() else []
        found |= {f"{name}/{one.name}": one for one in inside} if file.is_dir() else {name: file}
    return found


def _stored(name: str, meta: Mapping[str, Any]) -> Stored:
    return Stored(name, meta["size"], int(meta["last_modified"].timestamp() * 1e9))
