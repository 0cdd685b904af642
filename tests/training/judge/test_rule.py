"""The promotion rule over all inputs: what is no number promotes nothing, and few places promote nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srcore.training.judge.rule import (
    FIRST,
    LEAST_PLACES,
    SPENT,
    Compared,
    Margins,
    decide,
    interval,
    level_of,
    place_means,
    places_needed,
    sign_flip,
)

ODD = st.sampled_from([0.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, -3.0]) | st.floats()
GOOD = st.floats(-0.05, 0.6)


def compared(scores: st.SearchStrategy[float]) -> st.SearchStrategy[Compared]:
    """A scene with such scores, of one of 14 places."""
    return st.builds(
        Compared,
        scene=st.just("s"),
        place=st.integers(0, 13).map(str),
        gain_db=scores,
        over_plain_db=scores,
        worse=st.dictionaries(st.sampled_from(["radiometry", "spectra", "hallucination"]), scores, max_size=1),
        strata=st.sets(st.sampled_from(["sensor a", "sensor b", "season summer"]), max_size=2).map(tuple),
    )


SCENES = st.tuples(
    st.lists(st.floats(0.05, 0.6), max_size=16).map(lambda gains: scenes(*gains)),
    st.lists(compared(GOOD), max_size=4),
    st.lists(compared(ODD), max_size=1),
).map(lambda parts: [one for part in parts for one in part])


def scenes(*gains: float, **facts: object) -> list[Compared]:
    """One scene a place."""
    return [Compared(f"s{index}", f"p{index}", gain, 1.0, **facts) for index, gain in enumerate(gains)]  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(SCENES, st.integers(1, 20), st.floats(0.5, 2) | ODD)
def test_a_promotion_has_every_proof(found: list[Compared], attempt: int, speed: float) -> None:
    verdict = decide(found, attempt, speed_ratio=speed)
    assert verdict.reason
    assert "\n" not in verdict.reason
    assert verdict == decide(found, attempt, speed_ratio=speed), "the same scores, the same answer"
    if not verdict.promoted:
        return
    values = [value for one in found for value in (one.gain_db, one.over_plain_db, *one.worse.values())]
    assert np.isfinite(values).all()
    assert len({one.place for one in found}) >= places_needed(attempt) >= LEAST_PLACES
    gains = place_means(found)
    assert gains.mean() > 0.05
    assert interval(gains)[0] > 0
    assert sign_flip(gains) <= level_of(attempt)
    assert speed >= Margins().speed
    for name in ("sensor a", "sensor b", "season summer"):
        own = [one for one in found if name in one.strata]
        assert not own or place_means(own).mean() >= -0.1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308, 1001.0])
@pytest.mark.parametrize("where", ["gain_db", "over_plain_db", "worse", "speed", "margin"])
def test_one_number_that_is_none_refuses_all(value: float, where: str) -> None:
    good = scenes(*[0.5] * 12)
    assert decide(good, 1).promoted
    if where == "speed":
        assert decide(good, 1, speed_ratio=value).promoted is (value in (1e308, 1001.0))  # fast is no fault
        return
    if where == "margin":
        assert not decide(good, 1, Margins(gain_db=value if np.isfinite(value) else float("nan"))).promoted
        return
    bad = {"worse": {"spectra": value}} if where == "worse" else {where: value}
    verdict = decide([replace(good[0], **bad), *good[1:]], 1)  # type: ignore[arg-type]
    assert not verdict.promoted
    assert "on s0 is no score" in verdict.reason


@pytest.mark.parametrize("attempt", [1, 2, 10, 30, 1000])
def test_few_places_are_never_enough_and_spend_no_try(attempt: int) -> None:
    needed = places_needed(attempt)
    assert 2.0**-needed <= level_of(attempt)
    assert needed == LEAST_PLACES or 2.0 ** -(needed - 1) > level_of(attempt)
    verdict = decide(scenes(*[5.0] * (needed - 1)), attempt)
    assert (verdict.promoted, verdict.judged) == (False, False)
    assert verdict.reason == f"not enough places for try {attempt}: {needed - 1} of {needed}"
    assert decide(scenes(*[5.0] * needed), attempt).promoted
    assert decide([], attempt).reason == f"not enough places for try {attempt}: 0 of {needed}"


def test_scenes_of_one_place_are_one_voice() -> None:
    one_place = [replace(one, place="here") for one in scenes(*[0.5] * 200)]
    assert decide(one_place, 1).reason == "not enough places for try 1: 1 of 10"
    loud = [replace(one, place="p0") for one in scenes(*[3.0] * 100)]
    assert not decide([*loud, *scenes(*[-0.1] * 12)], 1).promoted


def test_the_levels_add_up() -> None:
    levels = [level_of(attempt) for attempt in range(1, 100_000)]
    assert levels[0] == FIRST
    assert all(a > b for a, b in pairwise(levels))
    assert SPENT - 1e-6 < sum(levels) < SPENT


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-64, 64), min_size=1, max_size=9))
def test_the_sign_flip_test_is_that_of_all_choices_of_signs(steps: list[int]) -> None:
    largest = max(map(abs, steps), default=0)
    gains = np.array(steps, float)
    if largest == 0:
        assert sign_flip(gains) == 1.0
        return
    grid = np.rint(gains / largest * 512)
    sums = np.array([np.dot(signs, np.abs(grid)) for signs in product((-1, 1), repeat=len(grid))])
    assert sign_flip(gains) == pytest.approx((sums >= grid.sum()).mean(), abs=1e-12)


def test_the_sign_flip_test_at_its_ends() -> None:
    assert sign_flip(np.full(30, 0.2)) == 2.0**-30
    assert sign_flip(np.full(30, -0.2)) == 1.0
    assert sign_flip(np.zeros(30)) == sign_flip(np.array([])) == 1.0
    assert sign_flip(np.array([1e6, *[-0.01] * 29])) >= 0.5  # one outlier proves nothing
    many = np.random.default_rng(0).normal(0, 0.3, 3000)
    assert 0.48 < sign_flip(many - many.mean()) < 0.52


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"worse": {"radiometry": 0.003}}, "radiometry may be worse by 0.003: at most 0.002 are allowed"),
        ({"worse": {"spectra": 0.2}}, "spectra may be worse by 0.2: at most 0.1 are allowed"),
        ({"worse": {"hallucination": 0.05}}, "hallucination may be worse by 0.05: at most 0.02 are allowed"),
        ({"over_plain_db": -0.2}, "no better than plain interpolation"),
    ],
)
def test_what_is_worse_than_its_margin_keeps_it_out(changed: dict[str, object], why: str) -> None:
    verdict = decide([replace(one, **changed) for one in scenes(*[0.5] * 12)], 1)  # type: ignore[arg-type]
    assert not verdict.promoted
    assert why in verdict.reason


def test_a_stratum_and_the_speed_keep_it_out() -> None:
    found = [*scenes(*[0.9] * 12), Compared("wet", "wet", -0.15, 1.0, strata=("land water",))]
    assert "land water loses 0.150 dB: at most 0.1 are allowed" in decide(found, 1).reason
    assert "it runs at 0.50 of the champion's speed" in decide(scenes(*[0.9] * 12), 1, speed_ratio=0.5).reason


def test_the_reason_tells_all_figures() -> None:
    gains = [0.2, 0.3, 0.25, 0.1, 0.35, 0.2, 0.3, 0.25, 0.1, 0.15]
    assert decide(scenes(*gains), 1).reason == (
        "+0.220 dB over the champion (+0.170 to +0.270, 10 held-out places, try 1), "
        "and nothing is worse than its margin"
    )
    worse = decide(scenes(*(gain - 0.2 for gain in gains)), 2).reason
    assert "more than 0.05 dB are asked" in worse
    assert "the low end has to be above 0" in worse
    assert "this try allows 0.01" in worse
