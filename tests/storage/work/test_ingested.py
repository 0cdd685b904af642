"""What INGEST wrote is read again, however many tiles a scene has."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcore.layout import Scratch
from srcore.radiometry import Normalisation
from srcore.regular import MAX_RECORD_BYTES
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.watch import Source
from srcore.storage.work.ingested import Ingested, TileSums
from srcore.tiling import MOST_TILES

LARGEST = 2**32 - 1
PLAIN = Normalisation((0.0,), (1.0,))


def ingested(sums: tuple[TileSums, ...]) -> Ingested:
    source = Source("a.tif", "0" * 64, 1, 2)
    return Ingested((source,), PLAIN, PLAIN, (1.0,), sums, {"tiles": "1"}, ends=((0.0, 1.0), None))


@pytest.mark.parametrize(
    "sums",
    [
        (),
        (TileSums(1, 2), TileSums(3, 4)),
        (TileSums(1, 2, 3), TileSums(4, 5, 6)),
        (TileSums(1, 2, None, 3), TileSums(4, 5, None, 6)),
    ],
)
def test_sums_come_back_in_their_order(tmp_path: Path, sums: tuple[TileSums, ...]) -> None:
    made = ingested(sums)
    made.save(Scratch(tmp_path))
    assert Ingested.load(Scratch(tmp_path)) == made


def test_the_record_of_as_many_tiles_as_there_may_be_is_one_that_is_read(tmp_path: Path) -> None:
    sizes = []
    for count in (1000, 2000):
        ingested((TileSums(LARGEST, LARGEST, LARGEST, LARGEST),) * count).save(Scratch(tmp_path))
        sizes.append(Scratch(tmp_path).ingested.stat().st_size)
    a_tile = (sizes[1] - sizes[0]) / 1000
    assert a_tile == 48
    assert a_tile * MOST_TILES + sizes[0] < MAX_RECORD_BYTES


def test_a_record_in_the_form_of_before_or_with_a_column_cut_is_none(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    ingested((TileSums(1, 2), TileSums(3, 4))).save(scratch)
    value = read_sealed(scratch.ingested)
    for sums in ([{"tile": 1, "valid": 2}], {"tile": [1, 3], "valid": [2]}, {"tile": [1], "other": [2]}):
        write_sealed(scratch.ingested, {**value, "sums": sums})
        assert Ingested.load(scratch) is None
