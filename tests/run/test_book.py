"""The book of a night: one at a time, what is remembered, and how far it is."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import LeaseError
from srcore.layout import DatasetPaths
from srcore.run.dataset import Way, done_by, each_due
from srcore.run.night.book import Lines, open_book
from srcore.run.outcome import Outcome
from srcore.run.scene import scene_runner
from srcore.run.states import SceneState
from srcore.storage.archive.nights import KEPT, Night, Nights, Running, read_nights, read_running
from srcore.storage.disk import outlive
from srcore.storage.disk.leases import STALE_SECONDS, acquire
from tests.run.night_cases import make


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


@pytest.mark.parametrize("lives", [True, False])
def test_a_night_waits_for_one_of_another_machine_until_it_is_known_whether_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lives: bool
) -> None:
    catalog = load_catalog(make(tmp_path))
    lease = DatasetPaths(tmp_path / "s/d").night_lease
    acquire(lease)
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"host": "other", "space": "other"}))

    def passes(seconds: float) -> None:
        os.utime(lease, (time.time() - (0 if lives else STALE_SECONDS + 1),) * 2)

    os.utime(lease, (time.time() - 60,) * 2)
    monkeypatch.setattr(outlive, "time", SimpleNamespace(sleep=passes))
    with (
        caplog.at_level("WARNING"),
        pytest.raises(LeaseError, match="another night of d goes on") if lives else nullcontext(),
        open_book(catalog, "d", patient=True),
    ):
        assert not lives
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "on other (pid" in told[0]
    assert re.search(r"no beat came for 6\d s: waiting for one, or until it is taken over, 5[34]\d s at most", told[0])


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
        outcomes = each_due(catalog, "d", done_by(catalog, run), way=Way(book=book))
        book.end(outcomes)
    assert [one.result for one in outcomes] == ["published"] * 3


def test_how_far_a_night_is_counts_parts_of_scenes_by_pixels() -> None:
    night = Running("d", "2026-01-01T00:00:00+00:00", "", 120, 37, 14, 1, 2_300_000_000, 812_000_000)
    assert night.words == "37 of 120 scenes, 14 published, 1 failed, 812 of 2,300 MP"
    ahead = replace(night, eta="2026-01-01T01:41:00+00:00", timezone="Europe/Zurich")
    assert ahead.words.endswith(", ETA 02:41 CET")
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
        book.end(each_due(catalog, "d", done_by(catalog, run), way=Way(book=book)))
    assert ("b: upscale 1 of 1",) in [one.working for one in told]
    [inside] = [one for one in told if one.working == ("b: upscale 1 of 1",)]
    assert (inside.done, inside.pixels_done, inside.pixels) == (1, 2600, 2700)
    shares = [one.percent for one in told]
    assert shares == sorted(shares)
    assert (told[-1].done, told[-1].published, told[-1].percent, told[-1].working) == (3, 3, 100.0, ())
