"""Bit rot is found, made again, and nothing is deleted; products are retired, and a kill in between changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from srcore.catalog import load_catalog
from srcore.layout import PUBLISHING, DatasetPaths
from srcore.run.audit import DAY_SECONDS, audit, share
from srcore.run.dataset import audit_share
from srcore.run.missing import published_products
from srcore.run.states import scene_states
from srcore.storage.archive import removal
from srcore.storage.archive.removal import begun_removal, remove_product
from tests.faults import archive


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A catalog of two scenes, both published."""
    for name in ("a", "b"):
        archive.write_scene(tmp_path / "in" / f"{name}.tif")
    catalog = archive.write_catalog(tmp_path)
    assert all(outcome.ok for outcome in archive.run(catalog))
    return catalog


def places_of(catalog: Path) -> DatasetPaths:
    return DatasetPaths(catalog.parent / "store" / archive.DATASET)


def found(catalog: Path) -> dict[str, str]:
    return {one.scene: one.state for one in scene_states(load_catalog(catalog), archive.DATASET)}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("nights", [1, 2, 30])
@pytest.mark.parametrize("count", [1, 7, 90])
def test_a_share_a_night_reads_all_in_time(count: int, nights: int) -> None:
    now = ran = 1e9
    last = {f"s{n:03}": now - (n % 3) * 3600 for n in range(count)}
    for night in range(3 * nights):
        now += DAY_SECONDS
        chosen = share(last, now, nights, ran)
        assert len(chosen) <= -(-count // nights)
        last |= dict.fromkeys(chosen, now)
        ran = now if chosen else ran
        if night >= nights:
            assert all(now - then < (nights + 1) * DAY_SECONDS for then in last.values())
    assert share(last, now, nights, now) == []  # twice a night is once


@pytest.mark.parametrize("damage", [flip, zeros, Path.unlink])
@pytest.mark.parametrize("ending", [".tif", ".json"])
def test_what_rots_is_found_and_made_again(two: Path, damage: Callable[[Path], None], ending: str) -> None:
    right = archive.products(archive.published(two.parent))
    path = places_of(two).product("a", ".tif").folder / f"a{ending}"
    damage(path)
    done = audit(load_catalog(two), archive.DATASET)
    assert (done.read, done.of) == (2, 2)
    assert done.size_bytes > 1000
    assert [(scene, error.code) for scene, error in done.findings] == [("a", "PRODUCT_DAMAGED")]
    assert path.name in str(done.findings[0][1])
    record = json.loads(places_of(two).quarantine("a").read_text())
    assert record["code"] == "PRODUCT_DAMAGED"
    states = {one.scene: one for one in scene_states(load_catalog(two), archive.DATASET)}
    assert states["a"].due
    assert "PRODUCT_DAMAGED" in states["a"].reason
    assert states["b"].state == "published"
    assert [outcome.result for outcome in archive.run(two)] == ["published", "up to date"]
    now = archive.products(archive.published(two.parent))
    assert {name: data for name, data in now.items() if not name.endswith("audit.json")} == right
    assert audit(load_catalog(two), archive.DATASET).findings == []


def test_a_damaged_product_stays_due_when_making_it_again_fails(two: Path) -> None:
    flip(places_of(two).product("a", ".tif").data)
    audit(load_catalog(two), archive.DATASET)
    record = json.loads(places_of(two).quarantine("a").read_text())
    places_of(two).quarantine("a").write_text(json.dumps({**record, "code": "DISK_FULL"}))
    assert scene_states(load_catalog(two), archive.DATASET)[0].due
    places_of(two).quarantine("a").unlink()
    assert scene_states(load_catalog(two), archive.DATASET)[0].due


def test_a_source_that_rots_is_told_and_its_product_stays(two: Path) -> None:
    before = archive.products(archive.published(two.parent))
    flip(two.parent / "in" / "b.tif")
    assert audit(load_catalog(two), archive.DATASET).findings == []
    done = audit(load_catalog(two), archive.DATASET, sources=True)
    assert [(scene, error.code) for scene, error in done.findings] == [("b", "SOURCE_DAMAGED")]
    state = scene_states(load_catalog(two), archive.DATASET)[1]
    assert (state.state, state.due) == ("published", False)
    assert "SOURCE_DAMAGED: b.tif" in state.reason
    after = archive.products(archive.published(two.parent))
    assert {name: data for name, data in after.items() if not name.endswith("audit.json")} == before


def test_a_night_reads_its_share_once(two: Path) -> None:
    assert audit_share(load_catalog(two), archive.DATASET) == []  # published just now, and read back then
    for receipt in places_of(two).products.glob("*/*.receipt.json"):
        os.utime(receipt, (1e9, 1e9))
    outcomes = audit_share(load_catalog(two), archive.DATASET)
    assert [outcome.result for outcome in outcomes] == ["note"]
    assert "1 of 2 products read again" in outcomes[0].message
    assert audit_share(load_catalog(two), archive.DATASET) == []


def test_a_product_is_removed_and_who_did_it_is_known(two: Path) -> None:
    places = places_of(two)
    (two.parent / "in" / "a.tif").unlink()
    stranger = places.product("a", ".tif").folder / "notes.txt"
    stranger.write_text("mine")
    [a, b] = published_products(load_catalog(two), archive.DATASET)
    assert (a.gone, b.gone) == (True, False)
    assert remove_product(places, a.product, "ada", "not ours")
    assert remove_product(places, b.product, "ada", "not ours")
    assert not remove_product(places, b.product, "ada", "again")
    assert list(places.products.rglob("*")) == [stranger.parent, stranger]
    records = [json.loads(path.read_text()) for path in sorted(places.retired.iterdir())]
    told = [(one["scene"], one["by"], one["why"]) for one in records]
    assert told == [("a", "ada", "not ours"), ("b", "ada", "not ours")]
    assert "b.tif" in records[1]["names"]
    assert not places.scratch("a").exists()
    assert found(two) == {"b": "new"}  # its source is there


@pytest.mark.parametrize("at", range(6))
def test_a_removal_that_is_killed_is_ended_later(two: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    places = places_of(two)
    (two.parent / "in" / "a.tif").unlink()
    product = published_products(load_catalog(two), archive.DATASET)[0].product
    real, calls = removal.store_at, []

    class Killed(BaseException):
        pass

    def store_at(folder: Path) -> object:
        """A store that dies at the at-th object that it changes."""
        store = real(folder)

        class Dying:
            get, list = store.get, store.list

            def put(self, name: str, data: bytes) -> None:
                self.count()
                store.put(name, data)

            def delete(self, *names: str) -> None:
                for name in names:
                    self.count()
                    store.delete(name)

            def count(self) -> None:
                calls.append(1)
                if len(calls) > at:
                    raise Killed

        return Dying()

    with monkeypatch.context() as patch:
        patch.setattr(removal, "store_at", store_at)
        with pytest.raises(Killed):
            remove_product(places, product, "ada", "")
    assert begun_removal(places.scratch("a")) is not None
    assert product.receipt.exists() is (at < 2)
    archive.run(two)
    assert not product.folder.exists()
    assert len(list(places.retired.iterdir())) == 1
    assert not (places.scratch("a") / PUBLISHING).exists()
    assert found(two) == {"b": "published"}


def test_a_receipt_cannot_name_a_strangers_file_for_removal(two: Path) -> None:
    places, stranger = places_of(two), two.parent / "mine.txt"
    stranger.write_text("mine")
    product = places.product("a", ".tif")
    receipt = json.loads(product.receipt.read_text())
    receipt["outputs"].append({"name": os.path.relpath(stranger, product.folder), "sha256": "", "size_bytes": 4})
    product.receipt.write_text(json.dumps(receipt))
    assert remove_product(places, product, "ada", "")
    assert stranger.read_text() == "mine"


def test_a_receipt_cannot_name_a_file_beside_it_that_no_product_has(two: Path) -> None:
    places = places_of(two)
    [a, _] = published_products(load_catalog(two), archive.DATASET)
    notes = a.product.folder / "notes.txt"
    notes.write_text("mine")
    receipt = json.loads(a.product.receipt.read_text())
    receipt["outputs"].append({"name": notes.name, "sha256": "0" * 64, "size_bytes": 4})
    a.product.receipt.write_text(json.dumps(receipt))
    assert remove_product(places, a.product, "ada", "not ours")
    assert list(a.product.folder.iterdir()) == [notes]
