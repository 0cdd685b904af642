"""Leases: one owner at a time, also when twenty processes want the same dead one's."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest

from srcore.errors import LeaseError, StoreError
from srcore.storage.disk import leases
from srcore.storage.disk.leases import STALE_SECONDS, TORN_SECONDS, acquire, held, holder
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
    ("age", "told"), [(5, "cannot be asked from here; let it finish"), (125, r"no beat came for 12\d s; wait: without")]
)
def test_of_a_process_that_nobody_can_ask_it_is_said_how_long_it_is_silent(path: Path, age: float, told: str) -> None:
    acquire(path)
    rewrite(path, host="other", space="other")
    os.utime(path, (time.time() - age,) * 2)
    with pytest.raises(LeaseError, match=told):
        acquire(path)


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
