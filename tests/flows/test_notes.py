"""Notes for a terminal: few lines, whatever an archive has to say."""

from __future__ import annotations

from flows.cli.notes import LINES, WIDTH, counted, notes


def test_one_scene_says_its_flags_and_many_share_theirs() -> None:
    assert list(notes([("", ("no CRS", "no nodata"))])) == ["note: no CRS", "note: no nodata"]
    found = list(notes([("a", ("no CRS",)), ("b", ("no nodata", "no nodata")), ("c", ("no nodata",))]))
    assert found == ["note: 2 scenes: no nodata", "note: a: no CRS"]


def test_long_flags_are_cut_and_many_are_counted() -> None:
    lines = list(notes((f"s{i}", (f"{i} " + "x" * 500,)) for i in range(LINES + 5)))
    assert len(lines) == LINES + 1
    assert max(map(len, lines)) == WIDTH
    assert lines[-1] == "note: 5 more, in the receipts and on the pages"


def test_a_cell_has_their_count() -> None:
    assert [counted(["a"] * n) for n in (0, 1, 3)] == ["", "1 note", "3 notes"]
