"""What the benchmarks meter is there: a function that moved to another module would stop `make bench` half way."""

from __future__ import annotations

import pytest

from benchmarks import rooms, small
from benchmarks.meter import Meter, Rooms, metered


@pytest.mark.parametrize("metered_rooms", [rooms.ROOMS, small.ROOMS], ids=["rooms", "small"])
def test_every_metered_function_is_there(metered_rooms: Rooms) -> None:
    with metered(Meter(), metered_rooms):
        pass


def test_one_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="gone"), metered(Meter(), {"room": ["srcore.metrics:gone"]}):
        pass
