"""Pairs and retraining on an object store: collected once for all machines, copied from there, replaced whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srcore.catalog import Catalog, load_catalog
from srcore.errors import StoreError
from srcore.layout import DatasetPaths
from srcore.progress import silent
from srcore.storage.archive.pairs import digest_of, is_whole, read_arrays, remove_pair, require_arrays, write_pair
from srcore.storage.objects.store import ObjectStore
from srcore.training.pairs import store
from srcore.training.pairs.stored import stored_pairs
from srcore.training.pairs.table import require_table
from tests.faults.test_publishing import Killed, around
from tests.training.pairs.drawn import pair
from tests.training.pairs.test_store import codes, three


def names(address: str) -> list[str]:
    return [one.name for one in ObjectStore(address).list("s2/pairs", deep=True)]


@pytest.fixture
def catalog(tmp_path: Path, address: str) -> Catalog:
    path = three(tmp_path)
    path.write_text(path.read_text().replace("./archive", address))
    return load_catalog(path)


def test_pairs_lie_on_the_store_and_are_collected_once(
    catalog: Catalog, address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store.collect_pairs(catalog, "s2", silent)
    assert codes(table) == {"alone": "NO_HR", "moved": "", "right": "", "wrong": "UNLIKE"}
    folder = DatasetPaths(place / "s2").pairs
    kept = names(address)
    assert [one.split("/")[2] for one in kept] == ["moved", "moved", "pairs.html", "pairs.json", "right", "right"]
    assert np.array_equal(read_arrays(folder / "right")["hr"], pair(0).hr)
    assert require_table(folder, "s2").rows == table.rows
    assert not [path for path in place.rglob("*") if path.is_file()]
    monkeypatch.setattr(store, "measure", None)  # would be called
    assert store.collect_pairs(catalog, "s2", silent).rows == table.rows
    entry = catalog.dataset("s2")
    assert sorted(one.scene for one in stored_pairs(folder, "s2", entry, None, (2, 2)).pairs) == ["moved", "right"]
    ObjectStore(address).delete(*[one for one in kept if one.startswith("s2/pairs/right/") and one.endswith(".zip")])
    with pytest.raises(StoreError) as found:
        stored_pairs(folder, "s2", entry, None, (2, 2))
    assert found.value.code == "PAIR_CHANGED"
    monkeypatch.undo()
    store.collect_pairs(catalog, "s2", silent)
    assert np.array_equal(read_arrays(folder / "right")["hr"], pair(0).hr), "what is lost is made"
    assert names(address) == kept


def test_what_is_no_pair_stays_and_is_told(catalog: Catalog, address: str) -> None:
    ObjectStore(address).put("s2/pairs/right/mine.txt", b"")
    table = store.collect_pairs(catalog, "s2", silent)
    assert codes(table)["right"] == "OUTPUT_EXISTS"
    assert [one for one in names(address) if "/right/" in one] == ["s2/pairs/right/mine.txt"]
    assert not remove_pair(DatasetPaths(Path(catalog.store) / "s2").pairs / "right")


@pytest.mark.parametrize("damage", [b"", b"PK\x05\x06" + bytes(18), b"no archive"])
def test_arrays_that_are_others_are_found(place: Path, address: str, damage: bytes) -> None:
    folder = place / "s2/pairs/a"
    digest = write_pair(folder, "a", {"hr": pair(0).hr}, {})
    [packed] = [one for one in names(address) if one.endswith(".zip")]
    ObjectStore(address).put(packed, damage)
    assert is_whole(folder, "a", digest)
    with pytest.raises(StoreError) as found:
        require_arrays(folder, digest)
    assert (found.value.code, "\n" in str(found.value)) == ("PAIR_CHANGED", False)


def test_a_pair_is_the_old_one_or_the_new_one_wherever_its_writer_ends(place: Path, address: str) -> None:
    folder, old, new = place / "s2/pairs/a", {"hr": pair(0).hr}, {"hr": pair(1).hr}
    write_pair(folder, "a", new, {})
    both = [write_pair(folder, "a", old, {}), digest_of(new)]
    for at in range(1, 4):  # arrays, record, the old arrays
        with pytest.raises(Killed), around(*killed_at(at)):
            write_pair(folder, "a", new, {})
        [there] = [one for one in both if is_whole(folder, "a", one)]
        assert require_arrays(folder, there)["hr"].any()
    write_pair(folder, "a", new, {})
    assert (is_whole(folder, "a", both[1]), len(names(address))) == (True, 2)
    assert remove_pair(folder)
    assert names(address) == []


def killed_at(number: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """What happens before each request, and behind it: the end, before this one."""
    left = iter(range(number - 1))

    def before() -> None:
        if next(left, None) is None:
            raise Killed

    return before, lambda: None
