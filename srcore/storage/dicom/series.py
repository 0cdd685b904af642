"""From the files of a scene to one series: what is there, what is left out, and which one is meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srcore.errors import SourceError
from srcore.storage.dicom.diagnosis import described, is_number, told_numbers
from srcore.storage.dicom.files import find_members
from srcore.storage.dicom.slices import SPLITS, Slice, read_slices
from srcore.storage.disk.veil import veiled

NAME_DIGITS = 8
"""Of the keyed hash that a series is listed by."""


@dataclass(frozen=True)
class Series:
    """Slices that say that they belong together, in no order, and what lay beside them."""

    slices: tuple[Slice, ...]
    left_out: tuple[str, ...]
    """What was not read, in words: '1 localiser'."""


def find_series(files: Sequence[Path], wanted: str | None = None) -> Series:
    """The one series of CT or MR in the files of a scene, or the one of that UID, or of the name that it is listed by.

    SourceError SEVERAL_SERIES with the list of them, NO_SERIES where slices do not say which they belong to, and
    NOT_SUPPORTED where there is none.
    """
    slices, left = _sorted_out(files)
    if not slices:
        found = ", ".join(left) or "no DICOM file"
        raise SourceError("no slices of CT or MR", found, "give a folder with a series of them", code="NOT_SUPPORTED")
    nameless = sum(not one.series for one in slices)
    if nameless:
        found = f"{nameless} of {len(slices)} slices without SeriesInstanceUID"
        raise SourceError("slices do not say which series they are of", found, "export it again", code="NO_SERIES")
    groups: dict[str, list[Slice]] = {}
    for one in slices:
        groups.setdefault(one.series, []).append(one)
    chosen = _chosen(groups, wanted)
    others = sum(len(group) for uid, group in groups.items() if uid != chosen)
    beside = (f"{others} slices of {len(groups) - 1} other series",) if others else ()
    return Series(tuple(groups[chosen]), (*left, *beside))


def one_volume(series: Series, wanted: str) -> Series:
    """The slices of one time, echo, b-value or the like, as TAG=VALUE: EchoTime=30; the rest is left out, and said.

    SourceError BAD_SETTING for no such tag, SEVERAL_VOLUMES with the values that are there for none of that value.
    """
    tag, _, value = (part.strip() for part in wanted.partition("="))
    if tag not in SPLITS or not value:
        do = f"give TAG=VALUE, of {', '.join(SPLITS)}"
        raise SourceError("no tag tells volumes apart by that name", repr(wanted[:60]), do, code="BAD_SETTING")
    chosen = tuple(one for one in series.slices if _is(dict(one.splits).get(tag), value))
    if not chosen:
        there = sorted({told for one in series.slices if (told := dict(one.splits).get(tag)) is not None})
        found = (
            f"{len(there)} values of {tag}{told_numbers(there)}"
            if there
            else f"no {tag} in {len(series.slices)} slices"
        )
        raise SourceError("no volume of the series has that value", found, "name another", code="SEVERAL_VOLUMES")
    rest = len(series.slices) - len(chosen)
    beside = (f"{rest} slices of other volumes ({tag} is another)",) if rest else ()
    return Series(chosen, (*series.left_out, *beside))


def _is(found: str | None, wanted: str) -> bool:
    """The same word, or the same number however it is written."""
    if found is None:
        return False
    return found == wanted or (is_number(found) and is_number(wanted) and float(found) == float(wanted))


def _sorted_out(files: Sequence[Path]) -> tuple[list[Slice], list[str]]:
    """Slices that may be of a volume, and words for the rest."""
    members, strangers = find_members(files)
    slices: list[Slice] = []
    others: Counter[str] = Counter()
    for member in members:
        found = read_slices(member)
        if isinstance(found, str):
            others[found] += 1
        else:
            slices += [one for one in found if not one.localiser]
            others["localiser"] += sum(one.localiser for one in found)
    others["file that is no DICOM"] += strangers
    return slices, [f"{count} {name}" for name, count in sorted(others.items()) if count]


def _chosen(groups: dict[str, list[Slice]], wanted: str | None) -> str:
    names = {uid: veiled(uid, NAME_DIGITS) for uid in groups}
    if wanted is None and len(groups) == 1:
        return next(iter(groups))
    found = [uid for uid, name in names.items() if wanted in (uid, name)]
    if len(found) == 1:
        return found[0]
    listed = "; ".join(
        f"{names[uid]}: {described(group)}" for uid, group in sorted(groups.items(), key=lambda one: names[one[0]])
    )
    if wanted is not None:
        raise SourceError("no such series here", listed, "name one of these, or its UID", code="SEVERAL_SERIES")
    do = "name one of them, by this name or its UID: `series`"
    raise SourceError(f"{len(groups)} series, where one is read", listed, do, code="SEVERAL_SERIES")
