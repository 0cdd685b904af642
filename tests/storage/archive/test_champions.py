"""What champions came to: the exact test against scipy's, when a rollback is proposed, and what the record forgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import fisher_exact

from srcore.storage.archive.champions import (
    KEPT,
    LEAST_STOPPED,
    LEVEL,
    Champions,
    Tally,
    chance_of,
    count_night,
    read_champions,
)


def tally(version: int, stopped: int, tried: int) -> Tally:
    return Tally(f"digest {version}", str(version), tried=tried, stopped=stopped)


counts = some.tuples(some.integers(0, 40), some.integers(0, 40)).map(sorted)


@given(counts, counts)
def test_the_chance_is_that_of_fishers_exact_test(now: list[int], before: list[int]) -> None:
    table = [[now[0], now[1] - now[0]], [before[0], before[1] - before[0]]]
    expected = fisher_exact(table, alternative="greater").pvalue if now[1] + before[1] else 1.0
    assert chance_of(tally(2, *now), tally(1, *before)) == pytest.approx(expected, abs=1e-9)


@given(counts, counts)
def test_what_stops_no_more_is_never_proposed_to_be_rolled_back(now: list[int], before: list[int]) -> None:
    told = Champions("m", "digest 2", (tally(1, *before), tally(2, *now))).proposal
    fewer = now[0] * before[1] <= before[0] * now[1]
    assert not (told and (fewer or now[0] < LEAST_STOPPED))
    assert bool(told) == (now[0] >= LEAST_STOPPED and chance_of(tally(2, *now), tally(1, *before)) <= LEVEL)


def night(path: Path, version: int, stopped: int, tried: int) -> str:
    return count_night(path, "tiny", tally(version, stopped, tried)).proposal


def test_nights_add_up_until_a_rollback_is_worth_a_look(tmp_path: Path) -> None:
    path = tmp_path / "champions.json"
    assert [night(path, 1, 0, 10), night(path, 1, 0, 10), night(path, 2, 2, 8)] == ["", "", ""]
    told = "champion 2 stops more than 1 did: 6 of 20 scenes against 0 of 20; srcore models rollback tiny"
    assert night(path, 2, 4, 12) == told
    assert read_champions(path).proposal == told
    assert night(path, 2, 0, 0) == told, "a night without scenes changes nothing"
    assert night(path, 1, 0, 0) == "", "and after the rollback nothing is left to propose"
    assert night(path, 1, 9, 9) == "", "the first has none before it"


def test_other_models_and_damaged_records_begin_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "champions.json"
    night(path, 1, 0, 30)
    assert count_night(path, "other", tally(2, 9, 9)).proposal == ""
    path.write_text(path.read_text().replace("9", "8"))
    assert read_champions(path) == Champions()
    assert "is begun anew" in caplog.text
    for version in range(KEPT + 5):
        night(path, version, 0, 1)
    assert [one.version for one in read_champions(path).tallies] == [str(version) for version in range(5, KEPT + 5)]
