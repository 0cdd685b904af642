"""Leases: one owner at a time, also when twenty processes want the same dead one's."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from srcore.errors import LeaseError, StoreError
from srcore.storage.disk import leases, outlive
from srcore.storage.disk.leases import STALE_SECONDS, TORN_SECONDS, acquire, held, holder, is_alive
from srcore.storage.disk.owner import still_runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene" / "lease.json"


def someone_dead(path: Path) -> None:
    """Leave a lease of a process that has ended."""
    path.parent.mkdir(exist_ok=True)
    code = f"from pathlib import Path; from srcore.storage.disk.leases import acquire; acquire(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def in_another_container(path: Path) -> None:
    """Its owner's pid namespace is another one of this machine: nobody here can ask its process."""
    _, boot, _, *rest = json.loads(path.read_text())["space"].split()
    rewrite(path, host="other", pid=1, space=" ".join(["other", boot, "pid:[7]", *rest]))


def test_a_second_run_is_told_who_holds_the_scene(path: Path) -> None:
    with held(path) as lease:
        with pytest.raises(LeaseError, match=rf"in the hands of another run; found run .* \(pid {os.getpid()}\) since"):
            acquire(path)
        assert LeaseError("x").retryable
        assert lease.is_held()
    assert not path.exists()
    assert not path.parent.exists() or list(path.parent.iterdir()) == []


def test_it_is_given_back_after_an_error(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(path):
        raise ZeroDivisionError
    assert not path.parent.exists() or list(path.parent.iterdir()) == []


def test_a_dead_owners_lease_is_taken_over(path: Path) -> None:
    someone_dead(path)
    dead = holder(path)
    with held(path) as lease:
        assert dead is not None
        assert lease.owner.id != dead.id
    assert not path.parent.exists() or list(path.parent.iterdir()) == []


def test_a_pid_that_was_given_to_another_process_is_not_its_owner(path: Path) -> None:
    lease = acquire(path)
    rewrite(path, started=lease.owner.started - 60)
    assert acquire(path).is_held()


@pytest.mark.parametrize(
    ("torn", "age", "free"),
    [
        (False, STALE_SECONDS - 60, False),
        (False, STALE_SECONDS + 60, True),
        (False, 60 - STALE_SECONDS, False),  # clocks differ
        (False, -STALE_SECONDS - 60, True),  # no beat comes from the future
        (True, TORN_SECONDS - 8, False),
        (True, TORN_SECONDS + 2, True),
        (True, -TORN_SECONDS - 60, True),
    ],
)
def test_elsewhere_the_last_beat_decides(path: Path, torn: bool, age: float, free: bool) -> None:
    acquire(path)
    rewrite(path, host="other", space="other")
    if torn:
        path.write_bytes(path.read_bytes()[:40])
    os.utime(path, (time.time() - age,) * 2)
    if free:
        assert acquire(path).is_held()
    else:
        with pytest.raises(LeaseError):
            acquire(path)


def test_who_was_killed_and_not_waited_for_holds_nothing(path: Path) -> None:
    child = os.fork()
    if child == 0:
        acquire(path)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its parent in a container may never wait
    try:
        dead = holder(path)
        assert dead is not None
        assert (dead.pid, still_runs(dead)) == (child, False)
        assert acquire(path).is_held()
    finally:
        os.waitpid(child, 0)


def test_a_clock_that_is_set_kills_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = acquire(path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)  # what psutil adds to the ticks of a process
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert still_runs(lease.owner)


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (5, r"cannot be asked from here; let it finish; without a beat it is taken over in 59\d s"),
        (125, r"no beat came for 12\d s; wait: .* in 47\d s; at once if you remove .*/scene/lease\.json$"),
    ],
)
def test_of_a_process_that_nobody_can_ask_it_is_said_how_long_it_is_silent(path: Path, age: float, told: str) -> None:
    acquire(path)
    rewrite(path, host="other", space="other")
    os.utime(path, (time.time() - age,) * 2)
    with pytest.raises(LeaseError, match=told):
        acquire(path)


def test_of_another_container_a_dead_process_is_proven_by_its_lock(path: Path) -> None:
    someone_dead(path)
    in_another_container(path)
    dead = holder(path)
    assert dead is not None
    assert still_runs(dead) is None
    assert acquire(path).is_held()


@pytest.mark.parametrize("why", ["it lives", "another boot", "another file", "no lock"])
def test_what_proves_nothing_is_left_to_its_beats(path: Path, why: str) -> None:
    lease = acquire(path)
    if why != "it lives":
        leases._let_go(lease)  # as the kernel does when a process ends
    in_another_container(path)
    host, boot, space, ticks, lock = json.loads(path.read_text())["space"].split()
    if why == "another boot":
        rewrite(path, space=" ".join([host, "another", space, ticks, lock]))
    elif why == "another file":  # a copy, or another disk's under the same name
        shutil.copyfile(path, path.with_name("copy"))
        os.replace(path.with_name("copy"), path)
    elif why == "no lock":
        rewrite(path, space=" ".join([host, boot, space, ticks]))
    with pytest.raises(LeaseError, match="cannot be asked from here"):
        acquire(path)
    os.utime(path, (time.time() - STALE_SECONDS - 5,) * 2)
    assert acquire(path).is_held()


def test_without_locks_a_lease_holds_and_names_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with held(path) as lease:
        assert "locked" not in lease.owner.space
        in_another_container(path)
        with pytest.raises(LeaseError, match="cannot be asked from here"):
            acquire(path)


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize(
    ("then", "alive"), [("nothing", False), ("a beat", True), ("another owner", True), ("it is given back", False)]
)
def test_who_may_be_dead_is_waited_for_until_that_is_known(
    path: Path, monkeypatch: pytest.MonkeyPatch, then: str, alive: bool
) -> None:
    acquire(path)
    rewrite(path, host="other", space="other")
    os.utime(path, (time.time() - STALE_SECONDS + 20,) * 2)
    waited: list[float] = []

    def passes(seconds: float) -> None:
        waited.append(seconds)
        os.utime(path, (path.stat().st_mtime - seconds,) * 2)
        if len(waited) == 2 and then == "a beat":
            os.utime(path)
        elif len(waited) == 2 and then == "another owner":
            rewrite(path, id="another")
        elif len(waited) == 2 and then == "it is given back":
            path.unlink()

    monkeypatch.setattr(outlive, "time", SimpleNamespace(sleep=passes))
    told: list[str] = []
    outlive.outlive(path, told.append)
    assert len(told) == 1
    assert "no beat came for 580 s: waiting for one, or until it is taken over, 20 s at most" in told[0]
    assert len(waited) == (4 if then == "nothing" else 2)
    assert (path.exists() and is_alive(path, holder(path))) == alive
    outlive.outlive(path.with_name("none"), told.append)
    assert len(told) == 1


def test_who_can_be_asked_is_not_waited_for(path: Path) -> None:
    with held(path):
        outlive.outlive(path, pytest.fail)
    leases._let_go(acquire(path))
    outlive.outlive(path, pytest.fail)


@pytest.mark.parametrize("odd", ["brackets", "pipe"])
def test_an_odd_lease_holds_nobody_up(path: Path, odd: str) -> None:
    path.parent.mkdir()
    if odd == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("[" * 100_000)
    os.utime(path, (time.time() - 60,) * 2)
    assert holder(path) is None
    assert acquire(path).is_held()


def test_a_living_run_beats(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.01)
    with held(path):
        os.utime(path, (0, 0))
        for _ in range(100):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.02)
        assert path.stat().st_mtime > 0


def test_who_was_taken_over_notices_and_leaves_the_other_alone(path: Path) -> None:
    with held(path) as lease:
        other = replace(lease.owner, id="other")
        rewrite(path, id="other")
        with pytest.raises(LeaseError, match="took this scene over; found run other"):
            lease.check()
    assert holder(path) == other


def test_a_file_system_without_hard_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with held(path), pytest.raises(LeaseError):
        acquire(path)
    assert not path.parent.exists() or list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "scene").write_text("a file")
    with pytest.raises(StoreError, match="scene cannot be written"):
        acquire(tmp_path / "scene" / "lease.json")


def _take(path: Path, gate: Event, done: Event, results: Queue[int]) -> None:
    gate.wait()
    try:
        lease = acquire(path)
    except LeaseError:
        results.put(0)
    else:
        results.put(1)
        done.wait(30)
        assert lease.is_held()


@pytest.mark.parametrize("left", ["nothing", "a dead lease", "a dead lease and a dead taker"])
def test_of_many_takers_one_wins(path: Path, left: str) -> None:
    clean = multiprocessing.get_context("forkserver")  # a fork of this process would have what other tests left in it
    clean.set_forkserver_preload([__name__])
    for _ in range(4):
        if left != "nothing":
            someone_dead(path)
        if left.endswith("taker"):
            dead = holder(path)
            assert dead is not None
            someone_dead(path.with_name(f".{path.name}.{dead.id}"))
        gate, done, results = clean.Event(), clean.Event(), clean.Queue()
        takers = [clean.Process(target=_take, args=(path, gate, done, results)) for _ in range(8)]
        for taker in takers:
            taker.start()
        gate.set()
        assert sum(results.get(timeout=20) for _ in takers) == 1
        done.set()
        for taker in takers:
            taker.join()
            assert taker.exitcode == 0
        path.unlink()
