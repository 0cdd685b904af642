"""Leases: one run a scene. A lease is a file that only one run can make, and that says who made it.

    acquire:   put if absent ---------------------------> held
                   | there is one: alive? --> LeaseError: who, where, since
                   | dead: lease on replacing it (its name holds the dead owner's) --> still the dead one's?
                   |                                                                    replace in one step --> held

Two operations need the file system to be atomic: put if absent (a hard link, which brings the content with it)
and replace (a rename by the one run that holds the lease on replacing this very owner). An object store has both
as conditional puts: there a lease is an object (`storage.objects.leases`).
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from srcore.catalog.object_stores import object_store_of, shown
from srcore.errors import AwayError, LeaseError, StoreError
from srcore.layout import lease_path
from srcore.regular import read_regular
from srcore.storage.disk import pulse
from srcore.storage.disk.files import hidden_beside, make_folder, store_error
from srcore.storage.disk.owner import Owner, myself, still_runs
from srcore.storage.objects import leases as objects

BEAT_SECONDS = 20.0
STALE_SECONDS = 600.0
"""A lease of another machine without a beat for so long is a dead owner's."""
TORN_SECONDS = 10.0
"""A lease that cannot be read is one that is being written, for so long at most: its owner, if any, has lost it."""
ROUNDS = 50
"""Attempts at a lease that others take and release meanwhile."""
_HELD: dict[str, IO[bytes] | None] = {}
"""Owners of the leases that this process holds, with the files that are locked meanwhile (`pulse`).

Of this process one is dead that is not here: it was given back while its store was away."""
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True)
class Lease:
    """A lease that this process holds."""

    path: Path
    owner: Owner

    def is_held(self) -> bool:
        """False when it was taken over: this run looked dead for longer than STALE_SECONDS."""
        return holder(self.path) == self.owner

    def check(self) -> None:
        """LeaseError unless it is still ours."""
        if not self.is_held():
            raise LeaseError("another run took this scene over", str(holder(self.path)), "let it finish")

    def beat(self) -> None:
        """Show other machines that this run lives; a beat that fails is followed by the next one."""
        if on_store(self.path):
            with suppress(AwayError, StoreError):
                objects.beat(self.path, self.owner)
            return
        with suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Give it back; nothing happens when it is no longer ours."""
        # the scene's work is done: a lease that cannot be removed, for its store is away, is nobody's all the same
        try:
            with suppress(OSError, AwayError):
                if not self.is_held():
                    return
                if on_store(self.path):  # and stays ours until it is removed: we are alive, so nobody takes it over
                    objects.remove(self.path)
                else:
                    self.path.unlink(missing_ok=True)
        finally:
            _let_go(self)


def acquire(path: Path) -> Lease:
    """The lease at `path`, taken over from a dead owner if need be; LeaseError (LEASED) names a living one."""
    lease, hidden = _prepared(path)
    try:
        _get(lease, hidden)
    except BaseException:
        _let_go(lease)
        raise
    finally:
        if not on_store(path):
            _unlink(hidden)
    return lease


def _prepared(path: Path) -> tuple[Lease, Path]:
    """A lease that nobody sees yet, and the file that is locked for it: on a disk the one that becomes the lease."""
    owner = myself()
    for _ in range(ROUNDS):
        hidden = objects.pulse_path(path, owner) if on_store(path) else hidden_beside(path)
        try:
            make_folder(hidden.parent)  # synced: the record of a publication will lie there
            owner, _HELD[owner.id] = pulse.begin(hidden, owner)  # another thread may look at it as soon as it is there
        except FileNotFoundError:  # the folder was empty, and another run removed it
            continue
        except OSError as error:
            _unlink(hidden)
            if not on_store(path):
                raise store_error(path if path.parent.is_dir() else path.parent, error) from error
            _HELD[owner.id] = None  # there it proves a death, and is no part of the lease
        return Lease(path, owner), hidden
    raise LeaseError(f"{path.parent.name} is in the hands of other runs", f"{ROUNDS} changes", "run again")


def _get(lease: Lease, hidden: Path) -> None:
    path = lease.path
    for _ in range(ROUNDS):
        if _put_if_absent(lease, hidden):
            return
        found = holder(path)
        if found is None and not is_there(path):
            continue  # released just now
        if is_alive(path, found):
            raise LeaseError(f"{path.parent.name} is in the hands of another run", *told_of(path, found))
        if _take_over(lease, hidden, found):
            return
        time.sleep(0.01)
    raise LeaseError(f"{path.parent.name} is in the hands of other runs", f"{ROUNDS} changes", "run again")


def _let_go(lease: Lease) -> None:
    """Of a lease that is none, or no longer ours: its lock, too."""
    if (file := _HELD.pop(lease.owner.id, None)) is not None:
        file.close()
    if on_store(lease.path):
        _unlink(objects.pulse_path(lease.path, lease.owner))


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[Lease]:
    """`acquire`, with a beat from time to time, and `release` at the end, whatever the end is.

    Then the lease's folder goes, too, when nothing else is in it.
    """
    lease = acquire(path)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            lease.beat()

    # a daemon: a process that ends by an error does not live on for its beat
    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        lease.release()
        with suppress(OSError):  # there is work in it
            path.parent.rmdir()


def holder(path: Path) -> Owner | None:
    """Who holds the lease at `path`: None when nobody does, or when it cannot be read.

    AwayError where that is not known.
    """
    if on_store(path):
        return objects.holder(path)
    try:
        return Owner(**json.loads(read_regular(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def is_there(path: Path) -> bool:
    """Whether there is a lease at `path`, whoever holds it."""
    return objects.is_there(path) if on_store(path) else path.exists()


def leased(folder: Path) -> frozenset[str] | None:
    """Names of what in `folder` may have a lease; None where that cannot be known."""
    if on_store(lease_path(folder)):
        return objects.leased(folder)
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
    except OSError:
        return None


def on_store(path: Path) -> bool:
    """Whether a lease is an object. One of who asks for a scene by hand is this machine's, as what looks for it is."""
    found = object_store_of(path)
    return found is not None and not found[1].startswith(".waiting/")


def is_alive(path: Path, owner: Owner | None) -> bool:
    """True when the run that made the lease at `path` still works.

    In our own pid namespace the process tells; elsewhere the lock of its file, where it proves that it is dead; else,
    and for a lease that cannot be read, the last beat.
    """
    if owner is not None:
        if (runs := still_runs(owner)) is not None:
            return runs and (owner.pid != os.getpid() or owner.id in _HELD)
        if pulse.has_ended(objects.pulse_path(path, owner) if on_store(path) else path, owner):
            return False
    silent = silent_s(path)
    torn = owner is None and not on_store(path)
    return silent is not None and silent < (TORN_SECONDS if torn else STALE_SECONDS)


def silent_s(path: Path) -> float | None:
    """Seconds since the last beat of the lease at `path`, on an object store as this machine saw it; None without."""
    if on_store(path):
        return objects.silent_s(path)
    try:
        # abs: a time far ahead was never a beat, and would be none for ever
        return abs(_now(path.parent) - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def told_of(path: Path, owner: Owner | None) -> tuple[str, str]:
    """Who holds the lease at `path`, and what to do: of a process that nobody here can ask, how long it was silent."""
    if owner is not None and still_runs(owner):
        return str(owner), "let it finish"
    silent = silent_s(path) or 0.0
    who = f"{owner or 'somebody who cannot be read'}; its process cannot be asked from here"
    left = f"without a beat it is taken over in {max(STALE_SECONDS - silent, 0.0):.0f} s"
    if silent < 2 * BEAT_SECONDS:
        return who, f"let it finish; {left}"
    return f"{who}, and no beat came for {silent:.0f} s", f"wait: {left}; at once if you remove {shown(path)}"


def _take_over(lease: Lease, hidden: Path, dead: Owner | None) -> bool:
    """Put it in the place of that of `dead`; False when somebody else was first.

    Only who holds the lease on replacing this dead owner may replace it. Owners' ids never come back, so a taker
    that comes late finds another owner and leaves that one alone.
    """
    path = lease.path
    if on_store(path):
        if not objects.replace(path, dead, lease.owner, lambda: not is_alive(path, dead)):
            return False
        if dead is not None:
            _unlink(objects.pulse_path(path, dead))
        return True
    try:
        turn = acquire(path.with_name(f".{path.name}.{dead.id if dead else 'torn'}"))
    except LeaseError:
        return False
    try:
        # exists: of a torn lease, and of none, the holder is None alike
        if holder(path) != dead or not path.exists() or is_alive(path, dead):
            return False
        os.replace(hidden, path)
        return True
    finally:
        turn.release()


def _put_if_absent(lease: Lease, hidden: Path) -> bool:
    path = lease.path
    if on_store(path):
        return objects.put_if_absent(path, lease.owner)
    try:
        try:
            os.link(hidden, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # no hard links here: a crash in the next lines leaves a torn lease, which ends by its age
            with open(path, "xb") as file:
                file.write(hidden.read_bytes())
    except (FileExistsError, FileNotFoundError):
        return False
    except OSError as error:
        raise store_error(path, error) from error
    return True


def _now(folder: Path) -> float:
    """The clock of the file system, which may be another machine's."""
    probe = hidden_beside(folder / "clock")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
