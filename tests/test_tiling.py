from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srcore.errors import PlanError
from srcore.tiling import BLOCK_HR, TilePlan, asked_core, choose_core, reflect


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    axes = draw(st.sampled_from([2, 3]))
    sizes = st.sampled_from([1, 2, 3, 5, 7, 8, 13, 16, 31])
    return TilePlan(
        tuple(draw(sizes) for _ in range(axes)),
        tuple(draw(st.integers(1, 9)) for _ in range(axes)),
        tuple(draw(st.integers(0, 6)) for _ in range(axes)),
        tuple(draw(st.integers(1, 3)) for _ in range(axes)),
    )


@given(plans())
def test_cores_partition_the_scene_and_the_product(plan: TilePlan) -> None:
    owners, owners_hr = np.zeros(plan.shape, int), np.zeros(plan.shape_hr, int)
    for tile in plan:
        owners[tile.core] += 1
        owners_hr[plan.window_hr(tile)] += 1
    assert (owners == 1).all()
    assert (owners_hr == 1).all()


@given(plans())
def test_tiles_show_what_the_padded_scene_shows(plan: TilePlan) -> None:
    scene = np.arange(np.prod(plan.shape)).reshape(plan.shape)
    beyond = [(h, h + c) for h, c in zip(plan.halo, plan.core, strict=True)]
    padded = np.pad(scene, beyond, mode="reflect")
    for tile in plan:
        window = tuple(
            slice(start + h, start + h + size)
            for start, h, size in zip(tile.read_start, plan.halo, plan.tile_shape, strict=True)
        )
        np.testing.assert_array_equal(scene[np.ix_(*plan.sources(tile))], padded[window])


@given(plans())
def test_every_tile_owns_whole_shards(plan: TilePlan) -> None:
    for tile in plan:
        for window, shard in zip(plan.window_hr(tile), plan.core_hr, strict=True):
            assert window.start % shard == 0
            assert window.stop - window.start <= shard


@given(st.integers(1, 40), st.integers(0, 50))
def test_reflect_is_numpys_rule(size: int, margin: int) -> None:
    expected = np.pad(np.arange(size), margin, mode="reflect")
    np.testing.assert_array_equal(reflect(np.arange(-margin, size + margin), size), expected)


def test_numbers_of_a_plan() -> None:
    plan = TilePlan((100, 70), (64, 64), (15, 15), (2, 2))
    assert plan.counts == (2, 2)
    assert plan.tile_shape == (94, 94)
    assert plan.redundancy == pytest.approx((160 * 130) / (100 * 70))
    assert plan.clipped(plan[3], (15, 15)) == (slice(0, 66), slice(0, 36))
    assert plan[3].core == (slice(64, 100), slice(64, 70))
    assert plan[3].read_start == (49, 49)
    with pytest.raises(IndexError):
        plan[4]


def anything(core: tuple[int, ...]) -> bool:
    return True


@pytest.mark.parametrize(
    ("shape", "scale", "lanes", "core"),
    [
        ((8192, 8192), (2, 2), 2, (1024, 1024)),
        ((2048, 2048), (2, 2), 1, (1024, 1024)),
        ((169, 186), (2, 2), 2, (169, 186)),  # one tile: nothing is computed twice
        ((1100, 1100), (2, 2), 2, (768, 768)),  # of 1024, one of two workers would do 5/6
        ((1100, 1100), (2, 2), 1, (1024, 1024)),
        ((700, 700), (3, 3), 1, (700, 700)),
        ((40, 500, 500), (1, 2, 2), 1, (8, 500, 500)),
    ],
)
def test_the_core_follows_the_scene(
    shape: tuple[int, ...], scale: tuple[int, ...], lanes: int, core: tuple[int, ...]
) -> None:
    halo = (0,) * (len(shape) - 2) + (15, 15)
    assert choose_core(shape, halo, scale, lanes, anything) == core


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.integers(0, 40),
    st.sampled_from([2, 3, 4]),
    st.integers(1, 16),
)
def test_every_core_is_whole_blocks_or_a_whole_axis(shape: tuple[int, int], halo: int, scale: int, lanes: int) -> None:
    core = choose_core(shape, (halo, halo), (scale, scale), lanes, anything)
    assert all(c == n or (c * scale) % BLOCK_HR == 0 for c, n in zip(core, shape, strict=True))
    plan = TilePlan(shape, core, (halo, halo), (scale, scale))
    computed = sum(prod(s.stop for s in plan.clipped(tile, plan.halo)) for tile in plan)
    assert plan.redundancy == pytest.approx(computed / prod(shape))


def test_memory_bounds_the_core() -> None:
    small = choose_core((4000, 4000), (15, 15), (2, 2), 1, lambda core: core[0] * core[1] <= 512 * 512)
    assert small[0] * small[1] <= 512 * 512
    with pytest.raises(PlanError, match="not even the smallest"):
        choose_core((4000, 4000), (15, 15), (2, 2), 1, lambda core: False)


def test_a_wish_is_met() -> None:
    assert asked_core((1000, 1000), (15, 15), (2, 2), 96) == (96, 96)
    assert asked_core((40, 500, 500), (0, 15, 15), (1, 2, 2), 64) == (8, 64, 64)


def test_an_impossible_plan_is_refused() -> None:
    with pytest.raises(PlanError, match="core"):
        TilePlan((5, 5), (0, 4), (1, 1), (2, 2))


@pytest.mark.parametrize(
    "window", [(slice(0, 1), slice(0, 1)), (slice(9, 21), slice(4, 23)), (slice(20, 23), slice(0, 31))]
)
def test_the_tiles_within_a_window_are_those_whose_cores_reach_into_it(window: tuple[slice, ...]) -> None:
    plan = TilePlan((23, 31), (10, 8), (3, 3), (2, 2))
    touching = [
        tile
        for tile in plan
        if all(max(a.start, b.start) < min(a.stop, b.stop) for a, b in zip(tile.core, window, strict=True))
    ]
    assert list(plan.within(window)) == touching
