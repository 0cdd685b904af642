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

import pytest

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.job import Job
from srcore.layout import DatasetPaths, lease_path
from srcore.progress import silent
from srcore.run.dataset import Way, each_due, one_by_one, run_dataset
from srcore.run.night.book import open_book
from srcore.run.night.slots import slot
from srcore.run.night.turns import SMALL_PIXELS, Turn, Turns, size_of
from srcore.run.night.waiting import first, let_first
from srcore.run.outcome import Outcome
from srcore.run.scene import scene_runner
from srcore.run.states import SceneState, look
from srcore.storage.archive.nights import Nights, read_nights
from srcore.storage.archive.quarantine import Quarantine
from srcore.storage.disk.leases import held
from tests.run.night_cases import make


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


@pytest.mark.parametrize(
    ("ends", "tried"),
    [
        (("NO_WORKERS", "NO_SCHEDULER", "NO_WORKERS"), "abc"),
        (("NO_WORKERS", "NO_WORKERS", "", "NO_WORKERS", "TILE_FAILED"), "abcde"),
    ],
)
def test_a_night_whose_workers_are_gone_waits_for_them_three_times_and_leaves_the_rest(
    tmp_path: Path, ends: tuple[str, ...], tried: str
) -> None:
    catalog, seen = make(tmp_path), list[str]()
    for name in "de":
        (tmp_path / f"in/{name}.tif").write_bytes((tmp_path / "in/a.tif").read_bytes())

    def do(state: SceneState, again: bool) -> Outcome:
        code = ends[len(seen)]
        seen.append(state.scene)
        return Outcome(state.scene, "failed" if code else "published", code)

    outcomes = each_due(load_catalog(catalog), "d", do)
    assert "".join(seen) == tried
    notes = [(one.code, one.message.partition(" are left")[0]) for one in outcomes if one.result == "note"]
    assert notes == ([] if len(tried) == 5 else [("NO_WORKERS", "2 scenes (0.0012 MP)")])


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
    from srcore.stages.needs import WORKER_BASE_BYTES

    catalog = make(tmp_path)
    [state] = look(load_catalog(catalog), "d", "b").states
    needed = WORKER_BASE_BYTES * 3

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
