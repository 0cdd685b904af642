"""The split by place: laws over all orders of arrival; what leaks, what is renamed, what an old split means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srcore.errors import SourceError, StoreError
from srcore.storage.disk.records import write_sealed
from srcore.training.data.sealed import Digests, read_split, write_split
from srcore.training.data.split import Ground, Member, Place, akin, assign, ground_of, places_wanted


def scene(index: int, place: Place | None = None, digest: str = "") -> Member:
    """A scene with bytes of its own, some 110 km from the others."""
    return Member((10 * index, 0, 10 * index, 0) if place is None else place, (digest or f"d{index}",))


def many(count: int, first: int = 0) -> dict[str, Member]:
    return {f"s{index}": scene(index) for index in range(first, first + count)}


def held(found: Mapping[str, Member]) -> set[str]:
    return {name for name, one in found.items() if one.held}


BOX = st.tuples(st.integers(-30, 30), st.integers(-9, 9), st.integers(0, 4), st.integers(0, 4)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
MEMBER = st.builds(
    Member,
    place=BOX | st.sampled_from(["alps", "nile"]) | st.none(),
    digests=st.tuples(st.integers(0, 40).map(str)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MEMBER, max_size=30), st.integers(0, 30), st.floats(0.05, 0.9))
def test_nothing_is_on_both_sides_and_no_judge_was_trained_on(found: list[Member], cut: int, share: float) -> None:
    names = {f"s{index}": one for index, one in enumerate(found)}
    first = assign(dict(list(names.items())[:cut]), {}, share)
    later = assign(names, first.scenes, share)
    for split in (first, later):
        sides = list(split.scenes.values())
        assert not any(akin(a, b) and a.held != b.held for a in sides for b in sides)
        assert not any(one.held and one.place is None and not one.digests for one in sides)
        assert not set(split.left_out) & set(split.places)
    assert {name for name in first.scenes if later.scenes[name].held} == held(first.scenes), "for good"
    assert set(later.scenes) | set(later.left_out) == set(names)
    assert assign(names, first.scenes, share) == later


@pytest.mark.parametrize(("places", "wanted"), [(0, 0), (1, 1), (4, 2), (12, 6), (20, 10), (39, 10), (80, 20)])
def test_the_share_is_raised_to_ten_places_where_half_is_enough(places: int, wanted: int) -> None:
    assert places_wanted(places, 0.25) == wanted
    assert len(held(assign(many(places), {}, 0.25).scenes)) == wanted


def test_the_test_set_grows_by_the_rule_and_by_bytes_not_names() -> None:
    first = assign(many(12), {}, 0.25)
    assert len(held(first.scenes)) == 6
    grown = assign(many(24), first.scenes, 0.25)
    assert len(held(grown.scenes)) == 10
    assert held(first.scenes) < held(grown.scenes)
    other = assign({f"t{24 - index}": one for index, one in enumerate(many(12).values())}, {}, 0.25)
    assert {one.digests for one in other.scenes.values() if one.held} == {
        one.digests for one in first.scenes.values() if one.held
    }


def test_all_dates_of_a_place_are_on_one_side_and_have_one_name() -> None:
    dates = {f"s{index}_{year}": scene(index, digest=f"{index}{year}") for index in range(8) for year in (2019, 2021)}
    split = assign(dates, {}, 0.25)
    assert len(held(split.scenes)) == 8
    assert len(set(split.places.values())) == 4
    for index in range(8):
        assert split.scenes[f"s{index}_2019"].held == split.scenes[f"s{index}_2021"].held
    judge = min(held(split.scenes))
    again = assign({**dates, "new": scene(int(judge[1]), digest="new")}, split.scenes, 0.25)
    assert again.places["new"] == again.places[judge]


def test_a_scene_on_ground_of_both_sides_takes_no_part() -> None:
    split = assign(many(8), {}, 0.25)
    wide = Member((0, 0, 80, 0), ("wide",))
    again = assign({**many(8), "wide": wide}, split.scenes, 0.25)
    assert again.left_out == {"wide": "it touches ground that is held out and ground that is trained on"}


def test_other_bytes_under_a_held_name_are_an_error_that_names_it() -> None:
    split = assign(many(8), {}, 0.25)
    judge = min(held(split.scenes))
    with pytest.raises(SourceError, match=f"the held-out scene {judge} is not what models were judged by") as refused:
        assign({**many(8), judge: replace(many(8)[judge], digests=("other",))}, split.scenes, 0.25)
    assert refused.value.code == "HELD_CHANGED"
    learned = min(set(many(8)) - held(split.scenes))
    assert not assign({**many(8), learned: replace(many(8)[learned], digests=("n",))}, split.scenes, 0.25).left_out


@pytest.mark.parametrize("what", ["digests", "place"])
def test_a_trained_scene_that_becomes_a_judge_is_a_leak(what: str) -> None:
    split = assign(many(8), {}, 0.25)
    judge, learned = min(held(split.scenes)), min(set(many(8)) - held(split.scenes))
    changed = replace(many(8)[learned], **{what: getattr(many(8)[judge], what)})
    found = {**many(8), learned: changed}
    del found[judge]  # its files may be gone: it stays a judge
    with pytest.raises(SourceError, match=f"{learned} is trained on, and {judge} is held out") as refused:
        assign(found, split.scenes, 0.25)
    assert refused.value.code == "LEAKED"


def test_a_renamed_scene_is_the_same_and_a_copy_is_none() -> None:
    split = assign(many(8), {}, 0.25)
    for name in many(8):
        found = many(8)
        found["renamed"] = found.pop(name)
        again = assign(found, split.scenes, 0.25)
        assert again.scenes["renamed"].held == split.scenes[name].held
        assert name not in again.scenes
        both = assign({**many(8), "copy": many(8)[name]}, split.scenes, 0.25)
        assert both.left_out == {"copy": f"it has the same bytes as {name}"}


def test_without_a_place_a_scene_trains_and_never_judges() -> None:
    lost = {f"s{index}": Member(None, (f"d{index}",)) for index in range(12)}
    assert held(assign(lost, {}, 0.5).scenes) == set()
    named = {name: replace(one, place=f"p{name}") for name, one in lost.items()}
    split = assign(named, {}, 0.25)
    assert len(held(split.scenes)) == 6
    assert set(split.places.values()) == {f"p{name}" for name in held(split.scenes)}


@pytest.mark.parametrize(
    ("bbox", "ground"),
    [
        ([8.01, 46.0, 8.09, 46.05], (80, 460, 80, 460)),
        ([8.0, 46.0, 8.1, 46.1], (80, 460, 80, 460)),
        ([-0.05, -0.05, 0.05, 0.05], (-1, -1, 0, 0)),
        ([179.95, 0.0, -179.95, 0.05], (1799, 0, 1800, 0)),
        ([8.05, 46.05, 8.05, 46.05], (80, 460, 80, 460)),
    ],
)
def test_blocks_of_ground(bbox: list[float], ground: Ground) -> None:
    assert ground_of(bbox) == ground


def test_ground_meets_itself_across_180_degrees() -> None:
    west, east = (Member(ground_of(box), (box[0],)) for box in ([179.95, 0, -179.95, 0.05], [-179.99, 0, -179.9, 0.05]))  # type: ignore[arg-type]
    assert akin(west, east)
    assert not akin(west, Member(ground_of([-179.85, 0, -179.8, 0.05]), ("x",)))


def test_an_old_split_by_name_is_taken_over_where_it_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    write_sealed(path, {"held": {"s0": True, "s1": True, "s2": False, "s3": False, "gone": True}})
    known, _ = read_split(path)
    found = {**many(4), "s1": scene(2, digest="another date of s2")}
    split = assign(found, known, 0.25)
    assert held(split.scenes) == {"s0", "gone"}
    assert split.notes == ("no longer held out, since their place is unknown or was trained on: s1",)
    write_split(path, split, Digests({}))
    assert read_split(path)[0] == split.scenes
    assert assign(found, read_split(path)[0], 0.25).notes == ()


def test_a_damaged_split_is_refused_and_files_are_read_once(tmp_path: Path) -> None:
    path, file = tmp_path / "split.json", tmp_path / "a.tif"
    file.write_bytes(b"one")
    digests = Digests({})
    [one] = digests.of([file])
    assert Digests({name: [*facts[:2], "remembered"] for name, facts in digests.seen.items()}).of([file]) == (
        "remembered",
    )
    file.write_bytes(b"three")
    assert Digests(digests.seen).of([file]) != (one,)
    path.write_text('{"version": 2}')
    with pytest.raises(StoreError, match="is damaged"):
        read_split(path)
