from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srcore.errors import PlanError
from srcore.tiling import BLOCK_HR, MOST_TILES, TilePlan, asked_tiles, chosen_tiles, reflect, refuse_too_many


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


@settings(max_examples=40)  # each compares every tile of a scene
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


def anything(tiles: TilePlan) -> bool:
    return True


def whole(
    shape: tuple[int, ...], halo: tuple[int, ...], scale: tuple[int, ...], multiple: int = 1, block: int = BLOCK_HR
) -> TilePlan:
    """A scene as one tile."""
    return TilePlan(shape, shape, halo, scale, (multiple,) * len(shape), block)


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
    assert chosen_tiles(whole(shape, halo, scale), lanes, anything).core == core


SCENES = {
    "shape": st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    "scale": st.tuples(st.integers(1, 5), st.integers(1, 5)),
    "multiple": st.sampled_from([1, 2, 3, 8, 24]),
    "block": st.sampled_from([16, 48, 64, BLOCK_HR]),
}


def assert_whole_blocks(tiles: TilePlan) -> None:
    for core, size, scale, multiple in zip(tiles.core, tiles.shape, tiles.scale, tiles.multiples, strict=True):
        assert core % multiple == 0
        assert (core * scale) % tiles.block == 0 or size <= core < size + multiple


@given(**SCENES, halo=st.integers(0, 40), lanes=st.integers(1, 16))
def test_every_core_is_whole_blocks_or_a_whole_axis(
    shape: tuple[int, int], scale: tuple[int, int], multiple: int, block: int, halo: int, lanes: int
) -> None:
    tiles = chosen_tiles(whole(shape, (halo, halo), scale, multiple, block), lanes, anything)
    assert_whole_blocks(tiles)


@given(**SCENES, tile=st.integers(1, 4000))
def test_an_asked_core_is_whole_blocks_too(
    shape: tuple[int, int], scale: tuple[int, int], multiple: int, block: int, tile: int
) -> None:
    tiles = asked_tiles(whole(shape, (3, 3), scale, multiple, block), tile)
    assert_whole_blocks(tiles)
    assert all(core >= min(tile, size) for core, size in zip(tiles.core, shape, strict=True))


@given(plans())
def test_redundancy_counts_what_is_computed(plan: TilePlan) -> None:
    computed = sum(prod(s.stop for s in plan.clipped(tile, plan.halo)) for tile in plan)
    assert plan.redundancy == pytest.approx(computed / prod(plan.shape))


def test_memory_bounds_the_core() -> None:
    scene = whole((4000, 4000), (15, 15), (2, 2))
    small = chosen_tiles(scene, 1, lambda tiles: prod(tiles.core) <= 512 * 512).core
    assert small[0] * small[1] <= 512 * 512
    with pytest.raises(PlanError, match="not even the smallest"):
        chosen_tiles(scene, 1, lambda tiles: False)


@pytest.mark.parametrize(
    ("tile", "scale", "multiple", "core"),
    [
        (96, 2, 1, (256, 256)),  # 512 SR px
        (256, 2, 1, (256, 256)),
        (300, 2, 1, (512, 512)),
        (100, 3, 1, (512, 512)),  # 3 and 512 have nothing in common
        (100, 4, 1, (128, 128)),
        (100, 2, 24, (768, 720)),  # whole blocks, and the generator's grid
        (2000, 2, 1, (1000, 700)),  # no longer than the axis
    ],
)
def test_a_wish_is_met_in_whole_blocks(tile: int, scale: int, multiple: int, core: tuple[int, int]) -> None:
    assert asked_tiles(whole((1000, 700), (15, 15), (scale, scale), multiple), tile).core == core


def test_a_volume_has_no_blocks() -> None:
    assert asked_tiles(whole((40, 500, 500), (0, 15, 15), (1, 2, 2)), 64).core == (8, 64, 64)


@pytest.mark.parametrize("block", [0, -16, 100])
def test_a_block_is_a_tile_of_a_tiff(block: int) -> None:
    with pytest.raises(PlanError, match="multiple of 16"):
        whole((10, 10), (0, 0), (2, 2), block=block)


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


def test_a_scene_of_more_tiles_than_a_record_holds_is_refused() -> None:
    side = 1024
    most = TilePlan((side * side, side * side), (side, side), (0, 0), (2, 2))
    assert len(most) == MOST_TILES
    assert prod(most.shape) > 10**12
    refuse_too_many(most)
    with pytest.raises(PlanError, match=r"too many tiles.*1,049,600, at most 1,048,576"):
        refuse_too_many(replace(most, shape=(side * side, side * side + 1)))
