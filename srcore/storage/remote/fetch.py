"""A file elsewhere brought into the cache: by parts after a cut, tried again, hashed on the way, named when whole."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from srcore.errors import SourceError, StoreError
from srcore.settings import load_settings
from srcore.storage.disk.files import fsync_file, fsync_folder, store_error
from srcore.storage.disk.records import read_json, write_json
from srcore.storage.remote.address import told_apart, words_for
from srcore.storage.remote.cache import (
    WANTED,
    WHOLE,
    Kept,
    alone,
    files_folder,
    found,
    keep,
    limit_bytes,
    make_room,
    shared,
)
from srcore.storage.remote.card import UPDATED, CardFile
from srcore.storage.remote.transport import Passing, Reply, Seen, failed, look, opened

log = logging.getLogger(__name__)

PART, SEEN = ".part", ".seen"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
GROWTH = 256 << 20
"""Bytes of a file without a told size that room is made for at a time."""
HASHES = {"1220": "sha256", "1340": "sha512", "1114": "sha1", "d50110": "md5"}
"""Beginnings of a multihash in hex: the function and the length."""
_SECRETS: dict[tuple[str, str], str] = {}
"""Address without secrets, and what tells it apart, to the whole of it, of links that came signed: in this process
alone, never written."""
_FETCHING: ContextVar[bool] = ContextVar("fetching", default=True)


def remember_signed(plain: str, whole: str) -> None:
    """A link that came with its signature."""
    _SECRETS[plain, told_apart(whole)] = whole


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """Inside, what is not in the cache is refused with NOT_FETCHED: a forecast costs no download."""
    token = _FETCHING.set(False)
    try:
        yield
    finally:
        _FETCHING.reset(token)


def fetch(file: CardFile) -> Kept:
    """The file in the cache, fetched if it was not there. It stays while the run that is on lasts.

    SourceError REMOTE_DENIED, REMOTE_GONE, REMOTE_FAILED, REMOTE_DAMAGED, SOURCE_CHANGED, CACHE_FULL; StoreError when
    the cache cannot be written.
    """
    folder = files_folder() / file.digest
    try:
        while True:
            handle = shared(folder)
            kept = _there(folder, handle) or _brought(file, folder, rotten=handle is not None)
            if kept is not None:
                return kept
    except (SourceError, StoreError):
        raise
    except OSError as error:
        raise store_error(folder / file.name, error, enough_bytes=file.size or 0) from error


def _there(folder: Path, handle: int | None) -> Kept | None:
    """The file that is in the cache already, whose lock that is."""
    if handle is None:
        return None
    if (kept := found(folder)) is None:
        os.close(handle)
        return None
    keep(handle)
    return kept


def _brought(file: CardFile, folder: Path, *, rotten: bool) -> Kept | None:
    """The file, fetched; None where another one was fetching it, and has ended."""
    if (handle := alone(folder, rotten=rotten)) is None:
        return None
    try:
        kept = found(folder) or _fetch(file, folder)
    except BaseException:
        os.close(handle)
        raise
    keep(handle)
    return kept


def _fetch(file: CardFile, folder: Path) -> Kept:
    if not _FETCHING.get():
        size = "of unknown size" if file.size is None else f"{file.size:,} bytes"
        what, do = f"{file.href} is not in the cache of sources", "run it: it is fetched then"
        raise SourceError(what, size, do, code="NOT_FETCHED")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WHOLE).unlink(missing_ok=True)
    address, tries = file.href, load_settings().remote_tries
    log.info("fetching %s", file.href)
    for turn in range(1, tries + 1):
        try:
            address = _signed(file)
            done = _download(file, address, folder)
            return _named(file, folder, done)
        except Passing as reason:
            if reason.anew:
                (folder / PART).unlink(missing_ok=True)
            if turn == tries:
                raise failed(address, reason.told, tries) from None
            pause = max(reason.wait_s, min(FIRST_PAUSE_S * 2 ** (turn - 1), LONGEST_PAUSE_S))
            log.warning("%s: %s; again in %.3g s", file.href, reason.told, pause)
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


@dataclass(frozen=True)
class _Done:
    sha256: str
    checksum: str
    """Of the function that the item's checksum is of."""
    size: int
    seen: Seen


def _download(file: CardFile, address: str, folder: Path) -> _Done:
    """Bytes into the .part, after those that are there of the same content; Passing where the server failed."""
    part, known = folder / PART, _seen_before(folder)
    have = part.stat().st_size if part.exists() and _can_go_on(known) else 0
    if known is not None and 0 < have == known.size:  # cut behind its last byte: there is no rest to ask for
        _refuse_changed(file, known)
        _refuse_rewritten(address, known)
        return _Hashes(file, part, have).done(known)
    with opened(address, have, known if known is not None and have else Seen()) as reply:
        seen = reply.seen
        _refuse_changed(file, seen)
        if reply.start != have or (have and known is not None and known.is_other(seen)):
            have = 0
            if reply.start:
                raise Passing("it changed while it was read", anew=True)
        make_room(folder, seen.size or have, file.href)
        if not have:
            part.unlink(missing_ok=True)  # first: never beside what is said of another content
        write_json(folder / SEEN, asdict(seen))
        hashes = _written(file, folder, have, reply)
    if seen.size is not None and hashes.size != seen.size:
        raise Passing(f"{hashes.size} of {seen.size} bytes came", anew=hashes.size > seen.size)
    _refuse_rewritten(address, seen)
    return hashes.done(seen)


def _can_go_on(known: Seen | None) -> bool:
    """Whether the rest of a file can be told from the rest of another one."""
    return known is not None and known.size is not None and bool(known.etag or known.modified)


def _written(file: CardFile, folder: Path, have: int, reply: Reply) -> _Hashes:
    """The bytes of an answer, behind the `have` that are there; room is made as they come where no size was told."""
    part = folder / PART
    hashes, room = _Hashes(file, part, have), reply.seen.size or have
    with part.open("r+b" if have else "wb") as out:
        out.seek(have)
        for chunk in reply.chunks:
            hashes.add(chunk)
            if hashes.size > room:
                room = max(hashes.size, min(hashes.size + GROWTH, limit_bytes()))
                if room > limit_bytes():
                    part.unlink()  # one that does not end
                make_room(folder, room, file.href)
            out.write(chunk)
    return hashes


class _Hashes:
    """What has come so far, counted and hashed."""

    def __init__(self, file: CardFile, part: Path, have: int) -> None:
        self.size, self.plain = 0, hashlib.sha256()
        self.told = hashlib.new(_function(file) or "sha256", usedforsecurity=False)
        if have:
            with part.open("rb") as before:
                while chunk := before.read(1 << 20):
                    self.add(chunk)

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.plain.update(chunk)
        self.told.update(chunk)

    def done(self, seen: Seen) -> _Done:
        return _Done(self.plain.hexdigest(), self.told.hexdigest(), self.size, seen)


def _function(file: CardFile) -> str:
    return next((name for start, name in HASHES.items() if file.checksum.lower().startswith(start)), "")


def _seen_before(folder: Path) -> Seen | None:
    try:
        return Seen(**read_json(folder / SEEN))
    except (StoreError, OSError, TypeError):
        return None


def _refuse_changed(file: CardFile, seen: Seen) -> None:
    """SourceError where it is no longer what was listed: the next listing says what it is now."""
    mark = "" if file.mark.startswith(UPDATED) else file.mark
    if Seen(file.size, mark, file.modified).is_other(seen):
        found = f"{seen.size} bytes, {seen.etag or seen.modified}; listed with {file.size}, {mark or file.modified}"
        what, do = f"{file.href} changed after it was listed", "run again"
        raise SourceError(what, found, do, code="SOURCE_CHANGED")


def _refuse_rewritten(address: str, seen: Seen) -> None:
    """Passing where the file was written anew while it was read: its bytes may be of both."""
    try:
        later = look(address)
    except SourceError:  # a link that is good for one GET
        return
    if seen.is_other(later):
        raise Passing("it changed while it was read", anew=True)


def _named(file: CardFile, folder: Path, done: _Done) -> Kept:
    """The whole file under its name, its record behind it."""
    function = _function(file)
    if function and not file.checksum.lower().endswith(done.checksum):
        (folder / PART).unlink(missing_ok=True)
        what, do = f"{file.href}: other bytes than its item says", "ask who publishes it; the next run tries again"
        raise SourceError(what, f"another {function}", do, code="REMOTE_DAMAGED")
    path = folder / file.name
    fsync_file(folder / PART)
    os.replace(folder / PART, path)
    fsync_folder(folder)
    record = {"name": path.name, "sha256": done.sha256, "size": done.size, "etag": done.seen.etag, "href": file.href}
    write_json(folder / WHOLE, record)
    for name in (SEEN, WANTED):
        (folder / name).unlink(missing_ok=True)
    return Kept(path, done.sha256, done.size, done.seen.etag)


def _signed(file: CardFile) -> str:
    """The address to ask by: as it came, or signed by the service that the environment names for its host."""
    href = file.href
    whole = _SECRETS.get((href, file.apart), href)
    service = words_for(href, load_settings().remote_sign)
    if not service or whole != href:
        return whole
    from srcore.storage.remote.web import read_text

    content, _ = read_text(f"{service}{'&' if '?' in service else '?'}href={quote(href, safe='')}", 1 << 16)
    try:
        answer: Any = json.loads(content)
        return str(answer["href"])
    except (ValueError, KeyError, TypeError):
        what, do = f"{href}: the service that signs links gave none", "look at SRCORE_REMOTE_SIGN"
        raise SourceError(what, "another answer", do, code="REMOTE_DENIED") from None
