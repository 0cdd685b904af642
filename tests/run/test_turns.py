"""The order of a night: whose turn it is, until when, beside whom, and who goes first."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import LeaseError, PlanError
from srcore.job import Job
from srcore.layout import DatasetPaths, lease_path
from srcore.progress import silent
from srcore.run.dataset import Way, each_due, one_by_one, run_dataset, run_one
from srcore.run.night.book import Lines, open_book
from srcore.run.night.pace import Deadline, forecast, next_time
from srcore.run.night.slots import slot
from srcore.run.night.turns import SMALL_PIXELS, Turn, Turns, size_of
from srcore.run.night.waiting import first, let_first
from srcore.run.outcome import Outcome
from srcore.run.scene import Run, scene_runner
from srcore.run.states import SceneState, look
from srcore.storage.archive.nights import KEPT, Night, Nights, Running, read_nights, read_running
from srcore.storage.archive.quarantine import Quarantine
from srcore.storage.disk.leases import held

SIZES = {"a": (20, 30), "b": (40, 50), "c": (10, 10)}


def write(path: Path, shape: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (1000 + np.arange(shape[0] * shape[1]) % 97).astype("uint16").reshape(1, *shape)
    profile = {"driver": "GTiff", "count": 1, "height": shape[0], "width": shape[1], "dtype": "uint16"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=from_origin(6e5, 5e6, 10, 10)) as target:
        target.write(values)


def make(folder: Path, *keys: str) -> Path:
    """A catalog of three scenes; c is the newest file, a the oldest."""
    for age, name in enumerate(("c", "b", "a")):
        write(folder / f"in/{name}.tif", SIZES[name])
        os.utime(folder / f"in/{name}.tif", (1e9 - age, 1e9 - age))
    catalog = folder / "data_catalog.yaml"
    entry = ["kind: raster", "source: ./in/*.tif", "model: nearest-x2", "products: [cog]", *keys]
    catalog.write_text("version: 1\nstore: ./s\ndatasets:\n  d:\n" + "".join(f"    {key}\n" for key in entry))
    return catalog


def did(catalog: Path) -> list[str]:
    """The scenes that a run gives to whoever does them, in its order."""
    order: list[str] = []

    def do(state: SceneState, again: bool) -> Outcome:
        order.append(state.scene)
        return Outcome(state.scene, "published")

    each_due(load_catalog(catalog), "d", do)
    return order


@pytest.mark.parametrize(
    ("keys", "order"),
    [((), "abc"), (("order: largest",), "bac"), (("order: oldest",), "bac"), (("order: newest",), "cab")],
)
def test_scenes_come_in_the_order_that_the_catalog_says(tmp_path: Path, keys: tuple[str, ...], order: str) -> None:
    catalog = make(tmp_path, *keys)
    os.utime(tmp_path / "in/b.tif", (1e9 - 5, 1e9 - 5))
    assert "".join(did(catalog)) == order


def test_the_size_of_a_scene_counts_its_bands_and_a_broken_one_has_none(tmp_path: Path) -> None:
    catalog = make(tmp_path)
    (tmp_path / "in/c.tif").write_bytes(b"no raster")
    states = list(look(load_catalog(catalog), "d").states)
    assert [size_of(state) for state in states] == [600, 2000, 0]
    assert [Turn(states[0], pixels).small for pixels in (0, SMALL_PIXELS, SMALL_PIXELS + 1)] == [True, True, False]


@pytest.mark.parametrize(
    ("clock", "zone", "now", "then"),
    [
        ("06:00", "UTC", "2026-03-01T02:00+00:00", "2026-03-01T06:00+00:00"),
        ("06:00", "UTC", "2026-03-01T22:00+00:00", "2026-03-02T06:00+00:00"),  # over midnight
        ("06:00", "UTC", "2026-03-01T06:00+00:00", "2026-03-02T06:00+00:00"),
        ("06:00", "Europe/Zurich", "2026-03-28T21:00+00:00", "2026-03-29T04:00+00:00"),  # the clock goes forward
        ("06:00", "Europe/Zurich", "2026-10-24T20:00+00:00", "2026-10-25T05:00+00:00"),  # and back
        ("02:30", "Europe/Zurich", "2026-03-28T23:00+00:00", "2026-03-29T01:30+00:00"),  # is skipped: 03:30
        ("02:30", "Europe/Zurich", "2026-10-24T23:00+00:00", "2026-10-25T00:30+00:00"),  # comes twice: the first
        ("23:30", "Asia/Kathmandu", "2026-12-31T18:00+00:00", "2027-01-01T17:45+00:00"),
    ],
)
def test_until_is_the_next_time_on_the_clock_of_the_zone(clock: str, zone: str, now: str, then: str) -> None:
    assert next_time(clock, zone, datetime.fromisoformat(now)) == datetime.fromisoformat(then)


@given(
    st.times(),
    st.sampled_from(["UTC", "Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_until_is_ahead_and_at_most_a_day_and_a_clock_change_away(clock: Any, zone: str, now: datetime) -> None:
    at, text = now.replace(tzinfo=UTC), f"{clock:%H:%M}"
    found = next_time(text, zone, at)
    assert timedelta(0) < found - at <= timedelta(hours=25)
    shown = found.astimezone(ZoneInfo(zone))
    assert f"{shown:%H:%M}" == text or shown.utcoffset() != (shown - timedelta(hours=3)).utcoffset()


def test_a_forecast_is_that_of_scenes_alike_and_never_shorter() -> None:
    done = [(100, 10.0), (110, 12.0), (120, 11.0), (10_000, 300.0)]
    assert forecast([], 100) is None
    assert forecast(done, 0) is None
    assert forecast(done[:3], 100) == 11.0
    assert forecast(done[:3], 1) == 11.0
    assert forecast([(100, 10.0)], 1000) == 100.0
    end = datetime(2026, 1, 1, 6, tzinfo=UTC)
    deadline = Deadline(end, [(100, 60.0)])
    assert deadline.allows(100, end - timedelta(seconds=61))
    assert not deadline.allows(100, end - timedelta(seconds=60))
    assert not deadline.allows(1000, end - timedelta(seconds=599))
    assert Deadline(end).allows(100, end - timedelta(seconds=1))
    assert not Deadline(end).allows(100, end)
    assert Deadline(None, [(1, 1e9)]).allows(100, end)


def test_what_would_not_be_finished_is_left_and_said_and_due_tomorrow(tmp_path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    catalog = make(tmp_path, f'until: "{ahead:%H:%M}"', "order: largest")
    loaded, places, tried = load_catalog(catalog), DatasetPaths(tmp_path / "s/d"), list[str]()

    def do(state: SceneState, again: bool) -> Outcome:
        tried.append(state.scene)
        return Outcome(state.scene, "published")

    with open_book(loaded, "d") as book:
        book.nights = Nights((), ((2000, 3600.0),))
        book.end([])
    with open_book(loaded, "d") as book:
        outcomes = each_due(loaded, "d", do, way=Way(book=book))
        book.end(outcomes)
    assert tried == []
    [note] = outcomes
    assert (note.result, note.code, note.fails) == ("note", "OUT_OF_TIME", False)
    assert note.message.startswith("3 scenes (0.0027 MP) are left, which would not be finished by ")
    assert note.message.endswith(": b, a, c; the next run does them")
    last = read_nights(places).last
    assert last is not None
    assert (last.scenes, last.published, last.left) == (3, 0, 3)
    assert [state.due for state in look(loaded, "d").states] == [True] * 3


def test_scenes_side_by_side_give_the_same_products_and_records(tmp_path: Path) -> None:
    digests: dict[int, list[tuple[str, str]]] = {}
    for scenes in (1, 3):
        folder = tmp_path / str(scenes)
        catalog = make(folder, f"concurrency: {{scenes: {scenes}}}")
        (folder / "in/bad.tif").write_bytes(b"no raster")
        with scene_runner(Workers(0)) as run:
            outcomes = run_dataset(catalog, "d", run)
        assert [(one.scene, one.result) for one in outcomes] == [
            ("a", "published"),
            ("b", "published"),
            ("bad", "failed"),
            ("c", "published"),
        ]
        record = Quarantine.load(folder / "s/d/quarantine/bad.json")
        assert record is not None
        assert not any("b:" in line.split("WARNING")[-1][:4] for line in record.log)  # of its own thread alone
        digests[scenes] = [
            (output.name, output.sha256)
            for one in outcomes
            if one.receipt is not None
            for output in one.receipt.outputs
            if output.name.endswith(".tif")
        ]
    assert digests[1] == digests[3]
    assert len(digests[3]) == 3


def test_one_scene_computes_while_others_are_read_and_checked(tmp_path: Path) -> None:
    computing: list[str] = []
    most, at_once, lock = [0], [0], threading.Lock()

    def call(name: str, stage: Callable[..., Any]) -> Any:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            computing.extend([name] if name == "upscale" else [])
            assert computing.count("upscale") <= 1
        time.sleep(0.05)
        try:
            return stage(silent)
        finally:
            with lock:
                at_once[0] -= 1
                if name == "upscale":
                    computing.clear()

    catalog = make(tmp_path, "concurrency: {scenes: 3}")
    with scene_runner(Workers(0), call) as run:
        assert all(one.ok for one in run_dataset(catalog, "d", run))
    assert most[0] > 1


def test_scenes_side_by_side_share_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srcore.stages import plan

    catalog = make(tmp_path)
    [state] = look(load_catalog(catalog), "d", "b").states
    needed = plan.WORKER_BASE_BYTES * 3

    class Memory:
        available = needed

    monkeypatch.setattr(plan.psutil, "virtual_memory", Memory)
    assert plan.plan_scene(state.job, 1).tiles
    assert plan.plan_scene(replace(state.job, beside=2), 1).tiles
    with pytest.raises(PlanError) as refused:
        plan.plan_scene(replace(state.job, beside=5), 1)
    assert refused.value.code == "NO_MEMORY"
    jobs: list[Job] = []

    def do(state: SceneState, again: bool) -> Outcome:
        jobs.append(state.job)
        return Outcome(state.scene, "published")

    catalog.write_text(catalog.read_text() + "    concurrency: {scenes: 2}\n")
    each_due(load_catalog(catalog), "d", do)
    assert [job.beside for job in jobs] == [2, 2, 2]


def test_an_interrupt_ends_all_lanes_behind_their_step(tmp_path: Path) -> None:
    catalog, began = make(tmp_path, "concurrency: {scenes: 2}"), threading.Barrier(2)

    def call(name: str, stage: Callable[..., Any]) -> Any:
        if name == "ingest":
            if began.wait(20) == 0:
                raise KeyboardInterrupt
            time.sleep(0.3)
        return stage(silent)

    with scene_runner(Workers(0), call) as run, pytest.raises(KeyboardInterrupt):
        run_dataset(catalog, "d", run)
    assert list((tmp_path / "s/d").rglob("*.receipt.json")) == []
    assert not (tmp_path / "s/d/quarantine").exists()  # nobody is to blame
    with scene_runner(Workers(0)) as run:
        assert [one.result for one in run_dataset(catalog, "d", run)] == ["published"] * 3


def test_who_asks_by_hand_goes_before_the_next_scene_of_the_night(tmp_path: Path) -> None:
    catalog = make(tmp_path)
    loaded, order = load_catalog(catalog), list[str]()
    asked, ended = threading.Event(), threading.Event()

    def by_hand() -> None:
        def do(state: SceneState, again: bool) -> Outcome:
            asked.set()
            time.sleep(0.7)
            order.append(f"hand {state.scene}")
            return Outcome(state.scene, "published")

        each_due(loaded, "d", do, scene="c")
        ended.set()

    def do(state: SceneState, again: bool) -> Outcome:
        order.append(state.scene)
        if state.scene == "a":
            threading.Thread(target=by_hand).start()
            assert asked.wait(20)
        return Outcome(state.scene, "published")

    each_due(loaded, "d", do)
    assert ended.is_set()
    assert order == ["a", "hand c", "b", "c"]
    assert list((tmp_path / "s/.waiting").iterdir()) == []


def test_a_mark_of_a_dead_process_holds_up_nobody(tmp_path: Path) -> None:
    with held(lease_path(tmp_path / "x")) as lease:
        dead = lease.path.read_bytes().replace(b'"pid": ', b'"pid": 4000000')
    (tmp_path / "x").mkdir()
    lease_path(tmp_path / "x").write_bytes(dead)
    let_first(tmp_path)
    assert list(tmp_path.iterdir()) == []
    let_first(tmp_path / "none")
    with first(tmp_path):
        let_first(tmp_path, lambda: True)  # a run that is stopped waits for nobody
    (tmp_path / "file").write_bytes(b"")
    with first(tmp_path / "file" / "below"):
        pass  # a store without the right to write there: the scene is done all the same


def test_slots_of_the_machine_are_given_to_so_many_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path))
    inside, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with slot("scene", 2):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [2]
    assert list((tmp_path / "slots").iterdir()) == []
    with slot("scene", None), slot("scene", None):
        pass


def test_a_night_is_one_at_a_time_and_the_next_hears_of_one_that_was_killed(tmp_path: Path) -> None:
    catalog = load_catalog(make(tmp_path))
    places = DatasetPaths(tmp_path / "s/d")

    def do(state: SceneState, again: bool) -> Outcome:
        if state.scene == "b":
            raise KeyboardInterrupt
        return Outcome(state.scene, "published", seconds=0.5)

    told: list[Running] = []

    def killed() -> None:
        with open_book(catalog, "d", [told.append]) as book:
            with pytest.raises(LeaseError, match="another night of d goes on"), open_book(catalog, "d"):
                pass
            each_due(catalog, "d", do, way=Way(book=book))

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert [one.done for one in told] == [0]  # not more often than every few seconds
    left = read_running(places)
    assert left is not None
    assert (left.scenes, left.pixels, left.working) == (3, 2700, ("a: plan",))
    with open_book(catalog, "d") as book:
        outcomes = each_due(catalog, "d", lambda state, _: Outcome(state.scene, "failed", "X", "y"), way=Way(book=book))
        book.end(outcomes)
    first_night, second = read_nights(places).nights
    assert (first_night.interrupted, first_night.scenes) == (True, 3)
    assert (second.interrupted, second.failed, second.new_failures) == (False, 3, ("a", "b", "c"))
    assert read_running(places) is None
    assert not places.night_lease.exists()


def test_what_is_remembered_of_nights_is_bounded_and_a_damaged_record_is_begun_anew(tmp_path: Path) -> None:
    nights = Nights()
    for count in range(KEPT + 30):
        nights = nights.with_night(Night("2026-01-01T00:00:00+00:00", 1.0, count), ((count, 1.0),))
    assert [night.scenes for night in nights.nights] == list(range(30, KEPT + 30))
    assert len(nights.paces) == 50
    places = DatasetPaths(tmp_path)
    places.nights.write_text('{"nights": [], "paces": [], "seal": "0"}')
    assert read_nights(places) == Nights()


def test_a_record_that_cannot_be_written_stops_no_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srcore.errors import StoreError
    from srcore.storage.archive import nights

    def full(path: Path, value: Any) -> None:
        raise StoreError("night.json cannot be written: the disk is full", code="DISK_FULL")

    monkeypatch.setattr(nights, "write_sealed", full)
    catalog = load_catalog(make(tmp_path))
    with scene_runner(Workers(0)) as run, open_book(catalog, "d") as book:
        outcomes = each_due(catalog, "d", by(catalog, run), way=Way(book=book))
        book.end(outcomes)
    assert [one.result for one in outcomes] == ["published"] * 3


def by(catalog: Any, run: Run) -> Callable[[SceneState, bool], Outcome]:
    return lambda state, again: run_one(catalog, state, run, force=again)


def test_how_far_a_night_is_counts_parts_of_scenes_by_pixels() -> None:
    night = Running("d", "2026-01-01T00:00:00+00:00", "", 120, 37, 14, 1, 2_300_000_000, 812_000_000)
    assert night.words == "37 of 120 scenes, 14 published, 1 failed, 812 of 2,300 MP"
    ahead = replace(night, eta="2026-01-01T01:41:00+00:00", timezone="Europe/Zurich")
    assert ahead.words.endswith(", ETA 02:41")
    assert round(night.percent, 1) == 35.3
    assert Running("d", "", "", 0).percent == 100.0
    said: list[str] = []
    now = [0.0]
    lines = Lines(said.append, lambda: now[0])
    for done in range(0, 101):
        now[0] += 30.0
        lines(Running("d", "", "", 100, done))
    assert len(said) == 11
    now[0] += 10_000
    lines(Running("d", "", "", 100, 100))
    assert len(said) == 12


def test_the_record_of_a_night_tells_of_the_tiles_of_a_large_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srcore.run.night import book as books

    monkeypatch.setattr(books, "SECONDS", 0.0)
    catalog = load_catalog(make(tmp_path))
    told: list[Running] = []
    with scene_runner(Workers(0)) as run, open_book(catalog, "d", [told.append]) as book:
        book.end(each_due(catalog, "d", by(catalog, run), way=Way(book=book)))
    assert ("b: upscale 1 of 1",) in [one.working for one in told]
    [inside] = [one for one in told if one.working == ("b: upscale 1 of 1",)]
    assert (inside.done, inside.pixels_done, inside.pixels) == (1, 2600, 2700)
    shares = [one.percent for one in told]
    assert shares == sorted(shares)
    assert (told[-1].done, told[-1].published, told[-1].percent, told[-1].working) == (3, 3, 100.0, ())


def test_a_queue_gives_small_scenes_only_up_to_a_large_one() -> None:
    class State:
        def __init__(self, scene: str) -> None:
            self.scene = scene

    sizes = {"a": 1, "b": 2, "c": SMALL_PIXELS + 1, "d": 3}
    turns = Turns(deque(Turn(State(name), size) for name, size in sizes.items()), 4, sum(sizes.values()))  # type: ignore[arg-type]
    taken = []
    while (turn := turns.next(small=True)) is not None:
        taken.append(turn.state.scene)
        turns.done(turn, Outcome(turn.state.scene, "published"))
    assert taken == ["a", "b"]
    one_by_one(turns, lambda state, again: Outcome(state.scene, "failed"))
    assert [turn.state.scene for turn, _ in turns.outcomes] == ["a", "b", "c", "d"]
    assert (turns.results["published"], turns.results["failed"], turns.pixels_done) == (2, 2, turns.pixels)
