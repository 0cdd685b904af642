"""What a night costs grows with the number of scenes and no faster, and a due scene does not pay for the others.

Counted are files opened, folders listed and functions called, which are the same on every machine; seconds are in
docs/benchmarks.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.nights import DATASET, Opened, counted, make_store
from flows.upscale import handed_on, upscale_scene
from srcore.catalog import load_catalog
from srcore.checks.drift import LEAST
from srcore.dispatch import Workers
from srcore.errors import LeaseError
from srcore.layout import DatasetPaths, lease_path
from srcore.run.dataset import each_due, run_dataset, run_one
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import SceneState, look, scene_states
from srcore.storage.archive.history import LAST, History, figures_before
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.leases import held

COUNTS = (20, 60)
DUE = "s00003"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Catalogs of so many published scenes, each behind a night that had nothing to do."""
    made = {count: make_store(tmp_path_factory.mktemp("many").resolve() / "here", count) for count in COUNTS}
    for catalog in made.values():
        night(catalog)
    return made


def night(catalog: Path, **options: Any) -> list[Outcome]:
    return run_dataset(catalog, DATASET, lambda job: run_scene(job, Workers(0)), **options)


def places(catalog: Path) -> DatasetPaths:
    return DatasetPaths(catalog.parent / "store" / DATASET)


@contextmanager
def called() -> Iterator[Counter[str]]:
    """Counts the functions of Python that are called meanwhile, by their qualified names."""
    names: Counter[str] = Counter()

    def hear(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            names[frame.f_code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(hear)
    try:
        yield names
    finally:
        sys.setprofile(before)


def seen(catalog: Path, opened: Opened) -> tuple[int, int]:
    return opened.below(catalog.parent)


def test_deciding_opens_one_file_and_lists_one_folder_a_scene(stores: dict[int, Path]) -> None:
    costs = {}
    for count, catalog in stores.items():
        loaded = load_catalog(catalog)
        with counted() as opened:
            assert [one.state for one in scene_states(loaded, DATASET)] == ["published"] * count
        costs[count] = seen(catalog, opened)
        assert max(opened.files[path] for path in opened.files if "store" in path) == 1
        assert sum(path.endswith(".receipt.json") for path in opened.files) == count
    (few, many), more = (costs[count] for count in COUNTS), COUNTS[1] - COUNTS[0]
    assert (many[0] - few[0], many[1] - few[1]) == (more, more)
    assert few[0] <= COUNTS[0] + 1  # what audits noted


def test_a_night_without_work_opens_no_more(stores: dict[int, Path]) -> None:
    costs, calls = {}, {}
    for count, catalog in stores.items():
        with counted() as opened, called() as calls[count]:
            assert [one.result for one in night(catalog)] == ["up to date"] * count
        costs[count] = seen(catalog, opened)
    (few, many), more = (costs[count] for count in COUNTS), COUNTS[1] - COUNTS[0]
    assert (many[0] - few[0], many[1] - few[1]) == (more, more)
    once = ("load_settings", "load_catalog", "resolve", "load_reads", "find_scenes", "show_page", "Treatment.__init__")
    assert {name: calls[COUNTS[1]][name] for name in once} == {name: calls[COUNTS[0]][name] for name in once}
    assert [calls[COUNTS[1]][name] for name in ("load_catalog", "find_scenes", "Receipt.load")] == [1, 1, COUNTS[1]]


def others(catalog: Path, opened: Opened) -> list[str]:
    """What was opened of products of other scenes than DUE."""
    start = f"{places(catalog).products}/"
    return [path for path in opened.files if path.startswith(start) and f"/{DUE}/" not in f"{path}/"]


def test_a_due_scene_pays_for_itself_alone(stores: dict[int, Path]) -> None:
    costs, calls, before = {}, {}, {}

    def do(catalog: Path, count: int, state: SceneState, again: bool) -> Outcome:
        before[count], loaded = len(state.job.before or ()), load_catalog(catalog)
        with counted() as opened, called() as calls[count]:
            outcome = run_one(loaded, state, lambda job: run_scene(job, Workers(0)), force=again)
        costs[count] = seen(catalog, opened)
        assert others(catalog, opened) == []
        assert not {str(catalog.parent / "in"), str(places(catalog).products)} & set(opened.folders)  # of all scenes
        return outcome

    for count, catalog in stores.items():
        for _ in range(2):  # the first warms up
            places(catalog).product(DUE, ".tif").receipt.unlink()
            told = each_due(load_catalog(catalog), DATASET, partial(do, catalog, count))
            assert Counter(one.result for one in told) == {"up to date": count - 1, "published": 1}
    assert costs[COUNTS[0]] == costs[COUNTS[1]]
    assert calls[COUNTS[0]]["Receipt.load"] == calls[COUNTS[1]]["Receipt.load"] < LEAST
    assert before == {20: 19, 60: LAST}


def test_the_flow_of_a_scene_takes_what_the_night_knows(stores: dict[int, Path]) -> None:
    costs = []
    for catalog in stores.values():
        loaded, receipt = load_catalog(catalog), places(catalog).product(DUE, ".tif").receipt
        kept = receipt.read_bytes()
        receipt.unlink()
        [due] = look(loaded, DATASET, DUE).states
        assert due.state == "new"
        receipt.write_bytes(kept)  # another run was faster: so the flow has no stage to call
        with counted() as opened, handed_on(loaded, due):
            state = upscale_scene.fn(str(catalog), DATASET, DUE)
        assert state.message == f"{DUE}: up to date"
        costs.append(seen(catalog, opened))
        assert others(catalog, opened) == []
    assert costs[0] == costs[1]


def test_a_run_that_began_since_is_seen_where_a_product_is_missing(stores: dict[int, Path]) -> None:
    catalog = stores[20]
    loaded, product = load_catalog(catalog), places(catalog).product("s00007", ".tif")
    kept = product.receipt.read_bytes()
    standing = look(loaded, DATASET)  # no scene was begun
    first = next(standing.states)
    with held(lease_path(places(catalog).scratch("s00007"))):
        product.receipt.unlink()  # as a run does when it replaces a product
        rest = {one.scene: one.state for one in standing.states}
        product.receipt.write_bytes(kept)
    assert first.state == "published"
    assert rest["s00007"] == "running"
    assert set(rest.values()) == {"running", "published"}


def test_a_lease_is_seen_before_the_receipt(stores: dict[int, Path]) -> None:
    catalog = stores[20]
    with held(lease_path(places(catalog).scratch("s00007"))):
        running = [one.scene for one in scene_states(load_catalog(catalog), DATASET) if one.state == "running"]
        outcomes = [one for one in night(catalog) if one.result != "up to date"]
    assert running == ["s00007"]
    assert [(one.scene, one.code) for one in outcomes] == [("s00007", LeaseError.code)]


def test_the_history_is_that_of_the_receipts(stores: dict[int, Path]) -> None:
    catalog = stores[60]
    found = [Receipt.load(path) for path in sorted(places(catalog).products.rglob("*.receipt.json"))]
    receipts = [one for one in found if one is not None]
    marked = [Receipt(**{**vars(one), "checks": [{"id": "which", "value": float(one.scene[1:])}]}) for one in receipts]
    newest = sorted(marked, key=lambda one: (one.created, one.scene), reverse=True)
    history = History(marked[0].model_digest)
    for one in marked:
        history.add(one)
    for left_out in (newest[0].scene, newest[40].scene):
        expected = [float(one.scene[1:]) for one in newest if one.scene != left_out][:LAST]
        assert [one["which"] for one in history.before(left_out)] == expected
    again = Receipt(**{**vars(newest[50]), "created": "2100-01-01T00:00:00+00:00"})
    history.add(again)
    history.add(again)
    told = [one["which"] for one in history.before("none")]
    assert told == [float(one.scene[1:]) for one in (newest[50], *newest[: LAST - 1])]
    history.add(Receipt(**{**vars(again), "model_digest": "another", "scene": "s9"}))
    assert [one["which"] for one in history.before("none")] == told


def test_a_scene_by_hand_looks_at_the_last_products(stores: dict[int, Path]) -> None:
    from srcore.stages.plan import plan_scene

    catalog = stores[60]
    [state] = look(load_catalog(catalog), DATASET, DUE).states
    with counted() as opened:
        found = figures_before(plan_scene(state.job, 1))
    assert len(found) == LAST
    assert sum(path.endswith(".receipt.json") for path in opened.files) <= LAST + 2
