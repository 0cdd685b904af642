"""The bounded cache of fetched files: whole or not there, never more than the limit, never gone under a running scene.

files/KEY/NAME       the file, and .whole beside it: its sha256, written last
files/KEY/.part      one that is on its way, and .seen: what its server said of it
files/KEY.lock       shared by who reads the file, one alone while it is fetched or removed
files/room.lock      one alone while somebody counts, makes room or goes from fetching to reading
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from srcore.errors import SourceError, StoreError
from srcore.settings import load_settings
from srcore.storage.disk.files import free_bytes, sha256_file
from srcore.storage.disk.records import read_json

WHOLE, WANTED = ".whole", ".wanted"
GB = 10**9
LAST_READ = 16
"""Files that a process without a running scene keeps from being removed: those that it read last."""


@dataclass(frozen=True)
class Kept:
    """A file in the cache."""

    path: Path
    sha256: str
    size: int
    etag: str = ""


_RUN: ContextVar[ExitStack | None] = ContextVar("run", default=None)
_LAST: deque[int] = deque()
_VERIFIED: set[tuple[str, int, int]] = set()


@contextmanager
def kept_for(run: ExitStack) -> Iterator[None]:
    """What is fetched or found inside stays in the cache until `run` ends."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


def files_folder() -> Path:
    """Where fetched files lie."""
    return load_settings().cache_folder / "remote" / "files"


def limit_bytes() -> int:
    """What all of them may take."""
    return int(load_settings().remote_cache_gb * GB)


def found(folder: Path) -> Kept | None:
    """The file of an entry, whole, and as it was written: its digest is compared once a process."""
    try:
        record = read_json(folder / WHOLE)
        kept = Kept(folder / str(record["name"]), record["sha256"], record["size"], record["etag"])
        status = kept.path.stat()
    except (StoreError, OSError, KeyError, TypeError):
        return None
    key = (str(kept.path), status.st_mtime_ns, status.st_size)
    if status.st_size != kept.size or (key not in _VERIFIED and sha256_file(kept.path) != kept.sha256):
        return None  # rotten: it is fetched again
    _VERIFIED.add(key)
    with suppress(OSError):
        os.utime(folder)  # used now: the last one to go
    return kept


def alone(folder: Path, *, rotten: bool) -> int | None:
    """The lock of an entry, for one who fetches it; None, when he has ended, where another did that.

    One that was fetched, and is rotten, is not taken from those that read it: SourceError, they and we try later.
    """
    lock = folder.with_name(f"{folder.name}.lock")
    try:
        with _room():  # not between the two kinds of lock of `keep`: each would wait for the other
            return _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if rotten:
            what, do = "a file in the cache of sources is not what was fetched", "run again when no other run reads it"
            raise SourceError(what, folder.name, do, code="REMOTE_DAMAGED") from None
    os.close(_locked(lock, fcntl.LOCK_SH))
    return None


def shared(folder: Path) -> int | None:
    """The lock of an entry that is there, for one who reads it; None where nothing is there."""
    if not (folder / WHOLE).exists():
        return None
    return _locked(folder.with_name(f"{folder.name}.lock"), fcntl.LOCK_SH)


def keep(handle: int) -> None:
    """Hold an entry's lock, shared from now on, until the run that is on ends, or others were read since."""
    with _room():  # nobody removes the entry between the two kinds of lock
        fcntl.flock(handle, fcntl.LOCK_SH)
    run = _RUN.get()
    if run is not None:
        run.callback(os.close, handle)
        return
    _LAST.append(handle)
    while len(_LAST) > LAST_READ:
        os.close(_LAST.popleft())


def make_room(folder: Path, size: int, what: str) -> None:
    """Remove what was not used for longest until a file of `size` bytes fits, into the limit and onto the disk;
    SourceError CACHE_FULL where it does not."""
    limit = limit_bytes()
    if size > limit:
        _refuse(what, size, limit, "it alone is larger")
    with _room():
        sizes = {entry: _taken(entry) for entry in _entries() if entry != folder}
        more = size - _there(folder)
        for entry in sorted(sizes, key=_used):
            if sum(sizes.values()) + size <= limit and free_bytes(folder) >= more:
                break
            if _removed(entry):
                del sizes[entry]
        if sum(sizes.values()) + size > limit:
            _refuse(what, size, limit, "all that is in it is in use")
        if (free := free_bytes(folder)) < more:
            _refuse(what, size, limit, f"{free / GB:.3g} GB are free on its disk")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WANTED).write_text(str(size))


def _refuse(what: str, size: int, limit: int, found: str) -> None:
    told = f"{size / GB:.3g} GB for {limit / GB:.3g} GB, {found}"
    do = "give it more room (SRCORE_REMOTE_CACHE_GB), or wait for the scenes that run"
    raise SourceError(f"{what} does not fit into the cache of sources", told, do, code="CACHE_FULL")


def _entries() -> list[Path]:
    with suppress(OSError), os.scandir(files_folder()) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _taken(entry: Path) -> int:
    """Bytes of an entry, or those that it will have."""
    wanted = 0
    with suppress(OSError, ValueError):
        wanted = int((entry / WANTED).read_text())
    return max(_there(entry), wanted)


def _there(entry: Path) -> int:
    with suppress(OSError):
        return sum(one.stat().st_size for one in entry.iterdir())
    return 0


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def _removed(entry: Path) -> bool:
    """Remove an entry that nobody uses; False for one in use."""
    lock = entry.with_name(f"{entry.name}.lock")
    try:
        handle = _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        shutil.rmtree(entry, ignore_errors=True)
        lock.unlink(missing_ok=True)
    finally:
        os.close(handle)
    return not entry.exists()


@contextmanager
def _room() -> Iterator[None]:
    handle = _locked(files_folder() / "room.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _locked(path: Path, how: int) -> int:
    """An open lock file, locked; BlockingIOError where `how` does not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, how)
            if os.path.exists(path) and os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another one removed the entry, and with it this lock, meanwhile
