"""The store seam: all that the archive asks of whatever holds it. Here the local disk; `storage.objects` is another.

    get  put  put_if  delete  find  one object by its name, whole or not at all
    open                            one of any size, in pieces
    list  folders                   what is there
    take                            files of this machine, under their names; the old ones until then

A product is many objects: it is published by taking them and by putting its receipt last.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from srcore.catalog.object_stores import object_store_of
from srcore.errors import StoreError
from srcore.regular import read_regular
from srcore.storage.disk.content import Content, open_file
from srcore.storage.disk.files import fsync_folder, hidden_beside, make_folder, sha256_file, write_atomic


@dataclass(frozen=True)
class Stored:
    """What a listing says of an object."""

    name: str
    size_bytes: int
    mtime_ns: int


class Store(Protocol):
    """Objects by name, below one place. What a call did is lasting when it returns. OSError where that fails."""

    def get(self, name: str) -> bytes | None:
        """The content; None when there is no such object, StoreError for what can be none: a pipe, a huge file."""

    def put(self, name: str, data: bytes) -> None:
        """The content, in place of what may be there."""

    def put_if(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """`put` where `expected` is the content now, None where nothing is there; False, and nothing done, elsewhere.

        Of several callers at once with the same expectation one gets True, as long as None is expected.
        """

    def take(self, files: Mapping[str, Path]) -> None:
        """Files of this machine become the objects of those names, in that order, and are gone from where they were.

        A folder becomes the objects NAME/FILE, all at once, where none begins with NAME/.
        """

    def list(self, below: str = "", *, deep: bool = False) -> list[Stored]:
        """Every object, by name; with `below` those that are called BELOW/FILE, and `deep` those in folders, too.

        A name that begins with a dot is none: it is on its way, or a stranger's.
        """

    def find(self, name: str) -> Stored | None:
        """What a listing would say of an object; None when there is none."""

    def open(self, name: str) -> Content | None:
        """An object of any size, to be read in pieces; None when there is none."""

    def sha256(self, name: str) -> str | None:
        """Of an object's content, of any size, as 64 hex digits; None when there is none."""

    def folders(self) -> tuple[str, ...]:
        """What comes before a slash in names of objects, sorted; nothing that begins with a dot."""

    def delete(self, *names: str) -> None:
        """Remove objects; those that are not there are none the less."""


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine's file system as a store."""

    folder: Path

    def get(self, name: str) -> bytes | None:
        """See Store."""
        try:
            return read_regular(self.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            found = error.strerror or str(error)
            raise StoreError(
                f"{self.folder / name} cannot be read", found, "move it away, or mend its rights"
            ) from error

    def put(self, name: str, data: bytes) -> None:
        """See Store; StoreError, DISK_FULL where that is why."""
        make_folder(self.folder)
        write_atomic(self.folder / name, data)

    def put_if(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """See Store."""
        if self.get(name) != expected:
            return False
        if expected is not None:
            self.put(name, data)
            return True
        make_folder(self.folder)
        write_atomic(hidden := hidden_beside(self.folder / name), data)
        try:
            os.link(hidden, self.folder / name)  # unlike a rename it fails where somebody was first
        except FileExistsError:
            return False
        finally:
            hidden.unlink(missing_ok=True)
        fsync_folder(self.folder)
        return True

    def take(self, files: Mapping[str, Path]) -> None:
        """See Store; the files lie on the same file system and are synced."""
        for name, file in files.items():
            os.replace(file, self.folder / name)
        fsync_folder(self.folder)

    def list(self, below: str = "", *, deep: bool = False) -> list[Stored]:
        """See Store; nothing behind a link."""
        found: list[Stored] = []
        place, before = self.folder / below, f"{below}/" if below else ""
        if below and place.is_symlink():
            return found
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append(Stored(before + entry.name, status.st_size, status.st_mtime_ns))
                elif deep and entry.is_dir(follow_symlinks=False):
                    found += self.list(before + entry.name, deep=True)
        return sorted(found, key=lambda one: one.name)

    def find(self, name: str) -> Stored | None:
        """See Store; nothing behind a link."""
        path = self.folder / name
        try:
            if "/" in name and path.parent.is_symlink():
                return None
            status = path.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stored(name, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def open(self, name: str) -> Content | None:
        """See Store; a link is none."""
        return open_file(self.folder / name)

    def sha256(self, name: str) -> str | None:
        """See Store."""
        try:
            return sha256_file(self.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def folders(self) -> tuple[str, ...]:
        """See Store; an empty one is one, too, and a link to one is."""
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(sorted(names))

    def delete(self, *names: str) -> None:
        """See Store; a folder goes with its last file, and nothing behind a link."""
        paths = [self.folder / name for name in names]
        folders = {path for path in paths if path.is_dir() and not path.is_symlink()}
        folders |= {path.parent for path in paths if path.parent != self.folder}
        links = {folder for folder in folders if folder.is_symlink()}
        for path in paths:
            if path.parent not in links and path not in folders:
                with suppress(NotADirectoryError):
                    path.unlink(missing_ok=True)
        for folder in folders - links:
            with suppress(FileNotFoundError, NotADirectoryError):
                fsync_folder(folder)
                with suppress(OSError):  # somebody put a file there
                    folder.rmdir()
        with suppress(FileNotFoundError):
            fsync_folder(self.folder)


def store_at(folder: Path) -> Store:
    """The store that holds `folder`: an object store for a place in one, but for what is this machine's own."""
    found = object_store_of(folder)
    if found is None or any(part.startswith(".") for part in found[1].split("/")):
        return LocalStore(folder)
    from srcore.storage.objects.store import ObjectStore  # not above: it stands on this module

    return ObjectStore(*found)


def sha256_of(path: Path) -> str:
    """Of the content of an object, read in pieces, as 64 hex digits; OSError when it is not there."""
    store = store_at(path.parent)
    if isinstance(store, LocalStore):
        return sha256_file(path)
    found = store.sha256(path.name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path.name)
    return found


def exists(path: Path) -> bool:
    """Whether an object stands there, or with a local store anything."""
    store = store_at(path.parent)
    return os.path.lexists(path) if isinstance(store, LocalStore) else store.find(path.name) is not None


def keeps_versions(folder: Path) -> bool:
    """Whether a store keeps what is deleted or replaced, as a bucket with versioning does; its page is asked for it."""
    found = object_store_of(folder)
    if found is None:
        return False
    from srcore.storage.objects.store import ObjectStore

    return ObjectStore(found[0]).keeps_versions("index.html")
