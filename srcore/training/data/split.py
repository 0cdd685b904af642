"""The split of a dataset's scenes into trained on and held out, by place and by bytes. Pure; decided once, for good.

    held-out ground | trained ground          a place is on one side, with all its dates
    [a 2019][a 2020] | [b 2019][b 2021]        new scenes go to the side of the ground, or the bytes, that they share;
          [c new: new ground] -> held out while fewer places than wanted are, else trained on
          [d new: touches both sides] -> left out, and said

What was trained on can judge nobody, so no scene ever moves from training to judging. A file of no known place is
trained on and never judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil, floor
from typing import TypeAlias, TypeVar

from srcore.errors import SourceError
from srcore.training.judge.rule import LEAST_PLACES

BLOCKS_A_DEGREE = 10
"""Scenes of one block of ground, some 11 km from south to north, are of one place."""
T = TypeVar("T")

Ground: TypeAlias = tuple[int, int, int, int]
"""First and last block from west to east, then from south to north: (west, south, east, north)."""
Place: TypeAlias = Ground | str
"""A rectangle of blocks, or a name where there is no CRS."""


@dataclass(frozen=True)
class Member:
    """A scene as the split knows it."""

    place: Place | None
    digests: tuple[str, ...]
    """sha256 of its files; empty in what an older version remembered."""
    held: bool = False


@dataclass(frozen=True)
class Split:
    """Who trains and who judges."""

    scenes: Mapping[str, Member]
    """All that are remembered, also those whose files are gone."""
    places: Mapping[str, str]
    """Held-out scene to the name of its place: as many names as there are places."""
    left_out: Mapping[str, str]
    """Scene to the reason why it takes no part."""
    notes: tuple[str, ...] = ()
    """What a user should know of the split itself."""


def ground_of(bbox: Sequence[float]) -> Ground:
    """The blocks under west, south, east, north in degrees; east of 180 where west is east of east."""
    west, south, east, north = bbox
    east += 360 if east < west else 0
    blocks = [floor(value * BLOCKS_A_DEGREE) for value in (west, south)]
    ends = [max(first, ceil(value * BLOCKS_A_DEGREE) - 1) for first, value in zip(blocks, (east, north), strict=True)]
    return blocks[0], blocks[1], ends[0], ends[1]


def akin(one: Member, other: Member) -> bool:
    """Whether two scenes must be on one side: they share ground, a name of a place, or a file."""
    if set(one.digests) & set(other.digests):
        return True
    a, b = one.place, other.place
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return a is not None and a == b
    around = (-360 * BLOCKS_A_DEGREE, 0, 360 * BLOCKS_A_DEGREE)
    return a[1] <= b[3] and b[1] <= a[3] and any(a[0] <= b[2] + turn and b[0] + turn <= a[2] for turn in around)


def places_wanted(places: int, share: float) -> int:
    """How many of so many places are held out: the share, raised to LEAST_PLACES where that is at most half of them."""
    return max(ceil(share * places), min(LEAST_PLACES, places // 2))


def assign(found: Mapping[str, Member], known: Mapping[str, Member], share: float) -> Split:
    """The split of the scenes that are there, after what is remembered.

    SourceError HELD_CHANGED for a held-out scene with other bytes, LEAKED for one place or file on both sides.
    """
    _refuse_changed(found, known)
    known, left_out = _renamed(found, known)
    sides, notes = _sealed(found, known)
    new = {scene: one for scene, one in found.items() if scene not in sides and scene not in left_out}
    fresh: list[list[str]] = []
    for group in groups(new, lambda a, b: akin(new[a], new[b])):
        touched = {other.held for other in sides.values() if any(akin(new[one], other) for one in group)}
        if len(touched) == 2:
            left_out |= dict.fromkeys(group, "it touches ground that is held out and ground that is trained on")
        elif touched or all(new[one].place is None for one in group):
            sides |= {one: replace(new[one], held=touched == {True}) for one in group}
        else:
            fresh.append(group)
    sides |= _dealt(fresh, new, sides, share)
    _refuse_leaks(sides)
    return Split(sides, _names({scene: sides[scene] for scene in found if scene in sides}), left_out, notes)


def _dealt(
    fresh: Sequence[Sequence[str]], new: Mapping[str, Member], sides: Mapping[str, Member], share: float
) -> dict[str, Member]:
    """New places, in the order of their bytes: names and dates decide nothing."""
    held = _count(one for one in sides.values() if one.held and one.place is not None)
    trained = _count(one for one in sides.values() if not one.held and one.place is not None)
    wanted = places_wanted(held + trained + len(fresh), share)
    dealt: dict[str, Member] = {}
    for group in sorted(fresh, key=lambda group: min(_order(new[one]) for one in group)):
        # a file of no place that shares bytes with one that has some goes with it, but cannot judge
        dealt |= {one: replace(new[one], held=held < wanted) for one in group}
        held += held < wanted
    return dealt


def _order(one: Member) -> str:
    return sha256("".join(one.digests).encode()).hexdigest()


def _count(members: Iterable[Member]) -> int:
    return len(groups(list(members), akin))


def groups(items: Iterable[T], together: Callable[[T, T], bool]) -> list[list[T]]:
    """The items in groups that no pair of which two groups hold one each is together."""
    found: list[list[T]] = []
    for item in items:
        joined = [group for group in found if any(together(item, other) for other in group)]
        found = [group for group in found if group not in joined]
        found.append([*(one for group in joined for one in group), item])
    return found


def _names(scenes: Mapping[str, Member]) -> dict[str, str]:
    held = {scene: one for scene, one in scenes.items() if one.held and one.place is not None}
    names: dict[str, str] = {}
    for group in groups(sorted(held), lambda a, b: akin(held[a], held[b])):
        named = held[group[0]].place
        names |= dict.fromkeys(group, named if isinstance(named, str) else f"around {group[0]}")
    return names


def _refuse_changed(found: Mapping[str, Member], known: Mapping[str, Member]) -> None:
    for scene in sorted(set(found) & set(known)):
        before, now = known[scene], found[scene]
        if before.held and before.digests and before.digests != now.digests:
            raise SourceError(
                f"the held-out scene {scene} is not what models were judged by",
                "other bytes in its HR or LR under the same name",
                "restore its files, or give the new ones another name",
                code="HELD_CHANGED",
            )


def _renamed(found: Mapping[str, Member], known: Mapping[str, Member]) -> tuple[dict[str, Member], dict[str, str]]:
    """What is remembered, under today's names; and the scenes that are there twice, with the reason."""
    names, left_out = dict(known), {}
    by_bytes = {one.digests: scene for scene, one in known.items() if one.digests}
    for scene in sorted(found, key=lambda one: (one not in known, one)):
        other = by_bytes.setdefault(found[scene].digests, scene)
        if other != scene and other in found:
            left_out[scene] = f"it has the same bytes as {other}"
        elif other != scene and scene not in known:
            names[scene] = names.pop(other)
            by_bytes[found[scene].digests] = scene
    return names, left_out


def _sealed(found: Mapping[str, Member], known: Mapping[str, Member]) -> tuple[dict[str, Member], tuple[str, ...]]:
    """What is remembered, with the places and bytes of today.

    Held-out scenes of an older version, which split by name, judge on only where no place of theirs was trained on.
    """
    sides = {scene: replace(found.get(scene, one), held=one.held) for scene, one in known.items()}
    unsealed = {scene for scene in found if scene in known and known[scene].held and not known[scene].digests}
    trained = [one for one in sides.values() if not one.held]
    fallen: list[str] = []
    for group in groups(sorted(unsealed), lambda a, b: akin(sides[a], sides[b])):
        if any(sides[one].place is None or any(akin(sides[one], other) for other in trained) for one in group):
            fallen += group
    sides |= {scene: replace(sides[scene], held=False) for scene in fallen}
    told = f"no longer held out, since their place is unknown or was trained on: {', '.join(fallen)}"
    return sides, (told,) if fallen else ()


def _refuse_leaks(sides: Mapping[str, Member]) -> None:
    held = {scene: one for scene, one in sides.items() if one.held}
    for scene, one in sides.items():
        other = next((name for name, judge in held.items() if not one.held and akin(one, judge)), None)
        if other is not None:
            raise SourceError(
                f"{scene} is trained on, and {other} is held out",
                "the same ground or the same file on both sides",
                f"take {scene} away, or restore what it was",
                code="LEAKED",
            )
