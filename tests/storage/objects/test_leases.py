"""Leases on an object store: one winner, no clock of another machine, and a beat that stops a takeover."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from srcore.catalog.object_stores import object_store_of
from srcore.errors import AwayError, LeaseError
from srcore.layout import lease_path
from srcore.storage.disk import pulse
from srcore.storage.disk.leases import STALE_SECONDS, acquire, held, holder, is_alive, leased
from srcore.storage.disk.owner import Owner, myself
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.objects import leases
from srcore.storage.objects.store import ObjectStore


@pytest.fixture
def lease(place: Path) -> Path:
    return lease_path(place / "fields/.scratch/scene")


def stranger() -> Owner:
    """A process of another machine."""
    return replace(myself(), host="elsewhere", space="elsewhere 1")


def surely() -> bool:
    return True


def passed(place: Path, seconds: float) -> None:
    """So long ago this machine saw what it saw first."""
    for note in (place / ".seen").iterdir():
        seen = read_sealed(note)
        write_sealed(note, {**seen, "at": seen["at"] - seconds})


def race(count: int, run: list[bool], attempt: list[Owner], lease: Path, dead: Owner | None) -> None:
    barrier = threading.Barrier(count)

    def one(owner: Owner) -> None:
        barrier.wait()
        won = leases.replace(lease, dead, owner, surely) if dead else leases.put_if_absent(lease, owner)
        run.append(won)
        if won:
            attempt.append(owner)

    threads = [threading.Thread(target=one, args=(stranger(),)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("racers", [12, pytest.param(90, marks=pytest.mark.nightly)])
def test_of_many_racers_one_wins_and_of_many_heirs_one(lease: Path, racers: int) -> None:
    won: list[bool] = []
    winner: list[Owner] = []
    race(racers, won, winner, lease, None)
    assert (len(won), sum(won)) == (racers, 1)
    assert holder(lease) == winner[0]
    won, heir = [], []
    race(racers, won, heir, lease, winner[0])
    assert (len(won), sum(won)) == (racers, 1)
    assert holder(lease) == heir[0] != winner[0]


def test_a_lease_is_held_shown_and_given_back(lease: Path, place: Path, address: str) -> None:
    with held(lease) as mine:
        assert mine.is_held()
        assert holder(lease) == mine.owner
        assert leased(place / "fields/.scratch") == {"scene"}
        with pytest.raises(LeaseError, match=mine.owner.id):
            acquire(lease)
        before = ObjectStore(address).get("fields/.scratch/scene/lease.json")
        mine.beat()
        after = ObjectStore(address).get("fields/.scratch/scene/lease.json")
        assert before != after  # else the store would call it the same object
        assert mine.is_held()
    assert holder(lease) is None
    assert leased(place / "fields/.scratch") == frozenset()
    assert ObjectStore(address).list(deep=True) == []


def test_a_dead_process_of_this_machine_is_replaced_at_once(lease: Path) -> None:
    assert leases.put_if_absent(lease, replace(myself(), pid=2**22 + 1))
    assert acquire(lease).is_held()


def elsewhere(owner: Owner, address: str) -> None:
    """The owner of the lease in another container of this machine: nobody here can ask its process."""
    host, boot, _, *rest = owner.space.split()
    there = replace(owner, pid=1, space=" ".join([host, boot, "pid:[7]", *rest]))
    store = ObjectStore(address)
    store.put("fields/.scratch/scene/lease.json", leases._content(there, 0))


def test_of_another_container_a_dead_process_is_proven_by_its_lock(lease: Path, place: Path, address: str) -> None:
    code = f"from pathlib import Path; from srcore.storage.disk.leases import acquire; acquire(Path({str(lease)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    dead = holder(lease)
    assert dead is not None
    elsewhere(dead, address)
    with held(lease) as mine:
        elsewhere(mine.owner, address)
        with pytest.raises(LeaseError, match="cannot be asked from here"):
            acquire(lease)
        leases.remove(lease)
    assert not list((place / ".seen").glob("*.lock"))


def test_another_machine_takes_no_lock_for_a_proof(lease: Path, place: Path, address: str) -> None:
    first = acquire(lease)
    elsewhere(first.owner, address)
    for lock in (place / ".seen").glob("*.lock"):  # its scratch is another one
        lock.unlink()
    with pytest.raises(LeaseError, match="cannot be asked from here"):
        acquire(lease)


def test_a_folder_that_takes_no_notes_takes_no_lease_away(
    lease: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "begin", no_room)
    with held(lease) as mine:
        assert mine.is_held()
        with pytest.raises(LeaseError, match=mine.owner.id):
            acquire(lease)


def no_room(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_of_another_machine_counts_what_was_seen_here_and_no_clock_of_anybody(lease: Path, place: Path) -> None:
    owner = stranger()
    assert leases.put_if_absent(lease, replace(owner, started=time.time() + 1e9, since="2099-01-01T00:00:00+00:00"))
    found = holder(lease)
    assert is_alive(lease, found)  # seen for the first time, whatever it says of itself
    passed(place, STALE_SECONDS - 5)
    with pytest.raises(LeaseError):
        acquire(lease)
    passed(place, 10)
    assert not is_alive(lease, found)
    assert acquire(lease).is_held()


def test_a_beat_in_between_stops_the_takeover(lease: Path, place: Path) -> None:
    owner = stranger()
    assert leases.put_if_absent(lease, owner)
    assert is_alive(lease, owner)
    passed(place, STALE_SECONDS + 5)
    leases.beat(lease, owner)
    assert is_alive(lease, owner)
    with pytest.raises(LeaseError):
        acquire(lease)


def test_a_beat_of_who_lost_it_changes_nothing(lease: Path) -> None:
    old, new = stranger(), stranger()
    assert leases.put_if_absent(lease, old)
    assert leases.replace(lease, old, new, surely)
    leases.beat(lease, old)
    assert holder(lease) == new
    assert not leases.replace(lease, old, stranger(), surely)


def test_a_beat_while_somebody_looks_for_the_last_time_keeps_the_lease(lease: Path) -> None:
    owner = stranger()
    assert leases.put_if_absent(lease, owner)

    def beats_behind_the_look() -> bool:
        leases.beat(lease, owner)
        return True

    assert not leases.replace(lease, owner, stranger(), beats_behind_the_look)
    assert holder(lease) == owner


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff", json.dumps({"owner": 3}).encode()])
def test_a_lease_that_cannot_be_read_ends_by_its_age(lease: Path, place: Path, address: str, content: bytes) -> None:
    found = object_store_of(lease)
    assert found is not None
    ObjectStore(address).put(found[1], content)
    assert holder(lease) is None
    with pytest.raises(LeaseError):
        acquire(lease)
    passed(place, STALE_SECONDS + 5)
    assert acquire(lease).is_held()


def test_who_asks_by_hand_is_let_first_on_this_machine(place: Path, address: str) -> None:
    with held(lease_path(place / ".waiting/1")):
        assert (place / ".waiting/1/lease.json").exists()
    assert ObjectStore(address).list(deep=True) == []


def test_a_lease_that_was_given_back_while_the_store_was_away_is_this_process_s_no_more(
    lease: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = acquire(lease)
    with monkeypatch.context() as away:
        away.setattr(leases, "remove", cannot)
        first.release()
    assert holder(lease) == first.owner
    second = acquire(lease)
    assert second.is_held()
    with pytest.raises(LeaseError):
        acquire(lease)


def cannot(_: Path) -> None:
    raise AwayError("the store cannot be used", "answer 503", "wait")
