"""The model of very many scenes: its bounds hold, and it names who is the first that cannot do more."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from benchmarks.scale.__main__ import cut, nights
from benchmarks.scale.model import Night, Units, busy_seconds, first, flows_wanted, memory_mb, scene_seconds, seconds
from srcore import dispatch
from srcore.stages import upscale

UNITS = Units()
ALL = [night for shown in nights().values() for night in shown]


def test_the_model_knows_the_dispatcher() -> None:
    from benchmarks.scale import model

    assert upscale.STREAMED_TILES == model.BATCH
    assert UNITS.asked == dispatch.SPARE


@pytest.mark.parametrize("night", ALL)
def test_no_station_does_more_than_it_can(night: Night) -> None:
    took = seconds(UNITS, night)
    assert took >= max(busy_seconds(UNITS, night).values())
    assert took >= max(scene_seconds(UNITS, night).values())
    assert first(UNITS, night) in {*busy_seconds(UNITS, night), "waiting"}


@pytest.mark.parametrize("night", ALL)
def test_more_of_anything_is_never_slower(night: Night) -> None:
    slower = seconds(UNITS, night) * (1 + 1e-9)
    assert seconds(UNITS, replace(night, beside=2 * night.beside)) <= slower
    assert seconds(UNITS, replace(night, bucket=False)) <= slower
    assert seconds(UNITS, cut(UNITS, night)) <= slower
    assert seconds(UNITS, replace(night, scenes=night.scenes + 1)) > seconds(UNITS, night)


def test_two_hundred_workers_wait_for_one_flow() -> None:
    nine, many = Night(1_000, 16, 1), Night(100_000, 16, 200)
    assert first(UNITS, nine) == "workers"
    assert first(UNITS, many) == "flow"
    assert busy_seconds(UNITS, many)["workers"] < 0.03 * seconds(UNITS, many)
    assert 20 < flows_wanted(UNITS, many) < 80
    assert seconds(UNITS, cut(UNITS, many)) < seconds(UNITS, many) / 10
    assert memory_mb(UNITS, many) == pytest.approx(500, rel=0.01)


def test_time_grows_with_the_scenes_and_no_faster() -> None:
    for tiles, workers in product((1, 16), (1, 20, 200)):
        few, many = (seconds(UNITS, Night(scenes, tiles, workers)) for scenes in (10_000, 100_000))
        assert many / few == pytest.approx(10, rel=0.01)


def test_what_asks_all_workers_for_each_scene_grows_with_both() -> None:
    asked = {most: replace(UNITS, asked=most) for most in (2, 200)}
    night = Night(100_000, 1, 200, 64**2)
    busy = {most: busy_seconds(units, night)["scheduler"] for most, units in asked.items()}
    assert busy[200] > 50 * busy[2]


def test_the_simulations_rate_lies_within_the_models_bounds_and_is_that_of_one_who_waits_for_nobody() -> None:
    from benchmarks.scale.simulated import rate

    assert rate(1, 2.0, 0.5) == pytest.approx(1 / 2.5)
    for workers in (2, 5, 12):
        assert workers / (2.0 + workers * 0.5) < rate(workers, 2.0, 0.5) < min(workers / 2.5, 1 / 0.5)
    assert rate(40, 2.0, 0.5) == pytest.approx(2.0, rel=1e-3)


def test_requests_to_an_object_store_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import Counter

    from benchmarks.scale.units import _Counted

    calls: Counter[str] = Counter()
    counted = _Counted(tmp_path, calls)
    assert not counted.joinpath("a").exists()
    assert calls == {"joinpath": 1}
