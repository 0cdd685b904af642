"""Laws of the check: it always ends in a verdict with finite figures, and units change none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from srcore.training.pairs.check import Rules, check
from srcore.training.pairs.measure import same_scene, thumbnail
from srcore.training.pairs.sample import Sample
from tests.training.pairs.drawn import pair

ANY = np.array([0, 1, 255, 65535, -1e30, 1e30, np.inf, -np.inf, np.nan, 0.5])


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Of any size and numbers, valid anywhere."""
    scale = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    fine = (shape[0], shape[1] * scale[0], shape[2] * scale[1])
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]))
    levels = draw(st.integers(1, 300))
    found = []
    for size in (shape, fine):
        values = rng.integers(0, levels, size).astype(dtype)
        valid = rng.random(size) < draw(st.sampled_from([0.0, 0.5, 0.97, 1.0]))
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                values = np.where(valid, values, rng.choice(ANY, size)).astype(dtype)
        found += [values, valid]
    return Sample(found[0], found[1], found[2], found[3], scale)


@settings(max_examples=80)
@given(samples(), st.booleans(), st.sampled_from(["same", "other"]))
def test_whatever_the_numbers_there_is_a_verdict(one: Sample, fit: bool, sensor: str) -> None:
    verdict = check(one, Rules(sensor, fit))  # type: ignore[arg-type]
    assert all(np.isfinite(value) for value in verdict.figures.values())
    assert verdict.refusal is not None, "noise is no pair"
    assert verdict.sample.hr.dtype == one.hr.dtype


@settings(max_examples=8)
@given(st.integers(0, 50), st.floats(0.25, 30), st.integers(-500, 500))
def test_a_gain_and_an_offset_of_both_change_no_verdict(seed: int, gain: float, offset: int) -> None:
    one = pair(seed, dtype=np.float32)
    other = replace(one, lr=one.lr * np.float32(gain) + offset, hr=one.hr * np.float32(gain) + offset)
    before, after = check(one), check(other)
    assert before.refusal == after.refusal is None
    for name in ("ncc", "shift_rows", "shift_columns", "gain"):
        assert abs(before.figures[name] - after.figures[name]) < 0.02, name


@settings(max_examples=8)
@given(st.integers(0, 50))
def test_a_scene_is_itself_and_no_other(seed: int) -> None:
    one, other = (pair(index, shape=(40, 40)) for index in (seed, seed + 100))
    own = thumbnail(one.hr, one.hr_valid)
    assert same_scene(own, thumbnail(one.hr * 2, one.hr_valid))
    assert not same_scene(own, thumbnail(other.hr, other.hr_valid))
