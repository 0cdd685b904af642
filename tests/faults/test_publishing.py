"""Publishing, broken at every step, in a folder and on an object store: a reader finds the old product, the new one or,
in a folder, none; never a mixture. On an object store also who slept through a takeover."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srcore.catalog.object_stores import on_object_store, place_of
from srcore.errors import LeaseError
from srcore.layout import DatasetPaths, ProductPaths, Scratch, lease_path
from srcore.storage.archive import runs
from srcore.storage.archive.publish import Receipt, find_receipts, is_whole, publish, verified_outputs
from srcore.storage.archive.runs import sweep_runs
from srcore.storage.archive.sweep import sweep_dataset
from srcore.storage.disk.leases import acquire, held
from srcore.storage.disk.owner import myself
from srcore.storage.disk.records import json_bytes
from srcore.storage.disk.store import Store, store_at
from srcore.storage.objects import client, leases, store
from tests.faults.conftest import Injected

RECEIPT = Receipt("fields", "scene", (), "m", "d", "c", {}, (), "published", (), "2026-01-01T00:00:00+00:00")
ITEM = b'{"links": [{"rel": "root", "href": "../../../catalog.json"}], "assets": {"data": {"href": "./scene.tif"}}}'
Publish = Callable[..., Receipt]


class Killed(BaseException):
    """The process ends here: nothing that follows happens."""


@pytest.fixture
def places(address: str) -> DatasetPaths:
    """A dataset on an object store."""
    return DatasetPaths(place_of(address) / "fields")


@pytest.fixture(params=["folder", "s3"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetPaths:
    """A dataset in a folder, and on an object store."""
    if request.param == "s3":
        return request.getfixturevalue("places")  # type: ignore[no-any-return]
    return DatasetPaths(tmp_path / "store" / "fields")


def stage(places: DatasetPaths, content: str, key: str = "key") -> tuple[ProductPaths, Scratch, dict[str, str]]:
    """A product whose every file says `content`."""
    product, scratch = places.product("scene", ".tif"), Scratch(places.scratch("scene") / key)
    staged = ProductPaths(scratch.staged, product.name)
    staged.folder.mkdir(parents=True, exist_ok=True)
    for path in (staged.data, staged.report):
        path.write_text(f"{content} {path.name}")
    staged.stac.write_bytes(ITEM)
    made = (staged.data, staged.report, staged.stac)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
    return product, scratch, sums


def put(places: DatasetPaths, content: str, publish: Publish = publish, key: str = "key") -> Receipt:
    product, scratch, sums = stage(places, content, key)
    with held(lease_path(places.scratch("scene"))):
        return publish(product, scratch, RECEIPT, sums)


def read(places: DatasetPaths) -> str | None:
    """What a reader that begins with the receipt gets: the content; None without one, 'wrong' for a mixture."""
    product = places.product("scene", ".tif")
    receipt = Receipt.load(product.receipt)
    if receipt is None:
        return None
    data = {one.name.split("/")[-1]: objects(places).get(one.name) for one in receipt.outputs}
    said = {(value or b"?").decode().split()[0] for name, value in data.items() if name != "scene.json"}
    return said.pop() if len(said) == 1 and is_whole(product, receipt, thorough=True) else "wrong"


def objects(places: DatasetPaths) -> Store:
    """What lies in the place of the scene's product."""
    return store_at(places.products / "scene")


class _Breaking:
    """A client that calls `before` and `after` around each request that changes something."""

    def __init__(self, opened: Any, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._opened, self._before, self._after = opened, before, after

    def put(self, *args: Any, **options: Any) -> Any:
        self._before()
        found = self._opened.put(*args, **options)
        self._after()
        return found

    def delete(self, *args: Any) -> Any:
        self._before()
        found = self._opened.delete(*args)
        self._after()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


@contextmanager
def around(before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    """All requests of this thread, and all its renames and removals among products."""
    me = threading.get_ident()

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def step(*paths: Any, **options: Any) -> None:
            among = "/products/" in os.fspath(paths[-1]) and os.path.lexists(paths[0])
            told = among and threading.get_ident() == me
            if told:
                before()
            call(*paths, **options)
            if told:
                after()

        return step

    def breaking(address: str) -> Any:
        opened = client.client(address)
        return _Breaking(opened, before, after) if threading.get_ident() == me else opened

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "client", breaking)
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(os, "unlink", counted(os.unlink))
        yield


def broken(work: Callable[[], Any], at: int, *, applied: bool) -> bool:
    """Kill the work at its `at`-th request, before it or with it done and unanswered; False when there are fewer."""
    requests = 0

    def before() -> None:
        nonlocal requests
        requests += 1
        if requests == at and not applied:
            raise Killed

    def after() -> None:
        if requests == at and applied:
            raise Killed

    try:
        with around(before, after):
            work()
    except Killed:
        return True
    return False


def sweep(places: DatasetPaths, publish: Publish, *, to_the_end: bool = True) -> tuple[int, list[str]]:
    """Kill a publication over an old product at every request; points, and what a reader saw that it must not."""
    wrong, points, at = [], 0, 0
    put(places, old := "0")
    while True:
        at += 1
        for applied in (False, True):
            new = f"{at}{applied}"
            product, scratch, sums = stage(places, new)
            acquire(lease_path(places.scratch("scene")))
            killed = broken(lambda: publish(product, scratch, RECEIPT, sums), at, applied=applied)  # noqa: B023
            seen = read(places)
            allowed = (old, new) if on_object_store(places.root) else (old, new, None)
            if seen not in allowed or (not killed and seen != new):
                wrong.append(f"request {at}, applied {applied}: {seen}")
            points += killed
            acquire_again(places).release()
            put(places, new)
            if read(places) != new or leftovers(places):
                wrong.append(f"request {at}, applied {applied}: afterwards {read(places)}, {leftovers(places)}")
            old = new
        if not killed or (wrong and not to_the_end):
            return points, wrong


def acquire_again(places: DatasetPaths) -> Any:
    """The lease of a process that is gone: this one's, given back and taken."""
    lease = lease_path(places.scratch("scene"))
    if on_object_store(lease):
        leases.remove(lease)
    else:
        lease.unlink(missing_ok=True)
    return acquire(lease)


def leftovers(places: DatasetPaths) -> list[str]:
    """Objects of the scene that neither the receipt nor its item is."""
    receipt = Receipt.load(places.product("scene", ".tif").receipt)
    named = {one.name for one in receipt.outputs} if receipt else set()
    there = {one.name for one in objects(places).list(deep=True)}
    return sorted(there ^ (named | {"scene.receipt.json", "scene.json"}))


def test_killed_at_any_step_a_reader_finds_the_old_product_or_the_new_one(
    either: DatasetPaths, injected: Injected
) -> None:
    points, wrong = sweep(either, publish)
    # before and behind: three files, receipt, item, end of the old run; in a folder: old receipt, three files, receipt
    assert points == (12 if on_object_store(either.root) else 10)
    injected(f"publication killed at a step, {'s3' if on_object_store(either.root) else 'folder'}", points, wrong)


def receipt_first(product: ProductPaths, scratch: Scratch, receipt: Receipt, verified: dict[str, str]) -> Receipt:
    """What srcore must not do: say that it is there before it is."""
    staged, where = ProductPaths(scratch.staged, product.name), store_at(product.folder)
    run = f"20260101T000000-{secrets.token_hex(4)}/" if on_object_store(product.folder) else ""
    outputs = [replace(one, name=f"{run}{one.name}") for one in verified_outputs(staged, verified)]
    complete = replace(receipt, outputs=tuple(outputs))
    where.put(product.receipt.name, json_bytes(complete.to_json()))
    where.take({one.name: staged.folder / one.name.split("/")[-1] for one in outputs})
    return complete


def sweep_first(product: ProductPaths, scratch: Scratch, receipt: Receipt, verified: dict[str, str]) -> Receipt:
    """The other one: what is replaced goes before the receipt does."""
    where = store_at(product.folder)
    where.delete(*[one.name for one in where.list(deep=True) if not one.name.endswith("receipt.json")])
    return publish(product, scratch, receipt, verified)


@pytest.mark.parametrize("planted", [receipt_first, sweep_first])
def test_a_wrong_protocol_is_found(either: DatasetPaths, planted: Publish) -> None:
    _, wrong = sweep(either, planted, to_the_end=False)
    assert any(line.endswith(": wrong") for line in wrong), wrong


def test_a_first_publication_that_ends_on_its_way_publishes_nothing(places: DatasetPaths) -> None:
    product, scratch, sums = stage(places, "new")
    acquire(lease_path(places.scratch("scene")))
    assert broken(lambda: publish(product, scratch, RECEIPT, sums), 3, applied=True)
    assert read(places) is None
    assert find_receipts(places.products) == []
    acquire_again(places).release()
    put(places, "new")
    assert (read(places), leftovers(places)) == ("new", [])


def paused(places: DatasetPaths, at: int, meanwhile: Callable[[], None]) -> tuple[bool, str]:
    """A publication that sleeps before its `at`-th request, while something else happens; whether it slept, its end."""
    product, scratch, sums = stage(places, "asleep", "asleep")
    acquire(lease_path(places.scratch("scene")))
    requests = 0

    def before() -> None:
        nonlocal requests
        requests += 1
        if requests == at:
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join()

    try:
        with around(before, lambda: None):
            publish(product, scratch, RECEIPT, sums)
    except LeaseError as error:
        return requests >= at, error.code
    finally:
        acquire_again(places).release()
    return requests >= at, ""


@pytest.mark.parametrize(
    ("what", "first"),
    [
        ("publish", False),
        pytest.param("publish", True, marks=pytest.mark.nightly),
        ("sweep", False),
        pytest.param("sweep", True, marks=pytest.mark.nightly),
    ],
)
def test_who_slept_through_a_takeover_leaves_no_wrong_product(places: DatasetPaths, what: str, *, first: bool) -> None:
    """At whatever request it slept, and whether the other one published or only swept."""

    def meanwhile() -> None:
        if what == "sweep":
            sweep_runs(places.product("scene", ".tif"))
            return
        product, scratch, sums = stage(places, "heir", "heir")
        publish(product, scratch, RECEIPT, sums)

    at, ends = 0, []
    before = None if first else "0"
    if not first:
        put(places, "0")
    while True:
        at += 1
        slept, end = paused(places, at, meanwhile)
        if not slept:
            break
        ends.append(end)
        assert read(places) in (("heir", "asleep") if what == "publish" else (before, "asleep")), (
            at,
            end,
            read(places),
        )
        if first:
            objects(places).delete(*[one.name for one in objects(places).list(deep=True)])
            continue
        put(places, before := str(at))
        assert (read(places), leftovers(places)) == (before, [])
    assert len(ends) >= 5
    assert "LEASED" in ends or (what == "sweep" and first)  # nothing is published: there is nothing to sweep


@pytest.mark.parametrize("at", range(1, 6))
def test_who_begins_behind_the_receipt_of_another_loses_nothing_to_its_sweep(places: DatasetPaths, at: int) -> None:
    """The second reads the first one's receipt, and uploads while the first one deletes what it replaced."""
    put(places, "0")
    product, scratch, sums = stage(places, "first", "first")
    lease = acquire(lease_path(places.scratch("scene")))
    asleep, awake, ends = threading.Event(), threading.Event(), list[str]()

    def second() -> None:
        product, scratch, sums = stage(places, "second", "second")
        count = 0

        def sleep() -> None:
            nonlocal count
            count += 1
            if count == at:
                asleep.set()
                awake.wait(30)

        hooks[threading.get_ident()] = sleep
        try:
            publish(product, scratch, RECEIPT, sums)
        except LeaseError as error:
            ends.append(error.code)
        asleep.set()

    other, requests, hooks = threading.Thread(target=second), 0, dict[int, Callable[[], None]]()

    def first() -> None:
        nonlocal requests
        requests += 1
        if requests == 4:  # three files and the receipt are there; the item comes, and then the end of the old run
            other.start()
            asleep.wait(30)

    def opened(address: str) -> Any:
        hook = hooks.get(threading.get_ident())
        return _Breaking(client.client(address), hook or (lambda: None), (lambda: None) if hook else first)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "client", opened)
        with suppress(LeaseError):  # where the second one's receipt came before the first one looked at its own
            publish(product, scratch, RECEIPT, sums)
        awake.set()
        other.join()
    lease.release()
    assert read(places) == "second", ends
    item = json.loads(objects(places).get("scene.json") or b"")
    assert objects(places).find(item["assets"]["data"]["href"].removeprefix("./")) is not None
    put(places, "third")
    assert (read(places), leftovers(places)) == ("third", [])


def test_a_reader_of_an_old_receipt_finds_its_files_or_another_receipt(places: DatasetPaths) -> None:
    old = put(places, "old")
    product = places.product("scene", ".tif")
    assert is_whole(product, old, thorough=True)
    put(places, "new")
    assert not is_whole(product, old)
    assert Receipt.load(product.receipt) != old
    assert read(places) == "new"


def test_the_item_leads_into_the_run_and_both_copies_to_the_catalog(places: DatasetPaths) -> None:
    receipt = put(places, "new")
    run = runs.run_of(receipt)
    top, inside = (json.loads(objects(places).get(name) or b"") for name in ("scene.json", f"{run}/scene.json"))
    assert (top["links"][0]["href"], top["assets"]["data"]["href"]) == ("../../../catalog.json", f"./{run}/scene.tif")
    assert (inside["links"][0]["href"], inside["assets"]["data"]["href"]) == ("../../../../catalog.json", "./scene.tif")


def test_who_has_no_lease_publishes_nothing(places: DatasetPaths) -> None:
    product, scratch, sums = stage(places, "new")
    with pytest.raises(LeaseError, match="another run took this scene over"):
        publish(product, scratch, RECEIPT, sums)
    assert objects(places).list(deep=True) == []


DEAD = "20260101T000000-00000000"
"""A run that nobody finished."""


def test_what_was_brought_from_a_folder_is_swept_when_it_is_replaced_and_a_strangers_file_never(
    places: DatasetPaths,
) -> None:
    product, scratch, sums = stage(places, "brought")
    outputs = verified_outputs(ProductPaths(scratch.staged, product.name), sums)
    for one in outputs:
        objects(places).put(one.name, (scratch.staged / one.name).read_bytes())
    objects(places).put(product.receipt.name, json_bytes(replace(RECEIPT, outputs=outputs).to_json()))
    for name in ("notes.txt", "photos/1.jpg", f"{DEAD}/scene.tif"):
        objects(places).put(name, b"x")
    sweep_runs(product)  # as each run of the scene does when it begins
    assert read(places) == "brought"
    put(places, "new")
    assert (read(places), leftovers(places)) == ("new", ["notes.txt", "photos/1.jpg"])
    sweep_runs(product)
    assert leftovers(places) == ["notes.txt", "photos/1.jpg"]


def test_an_item_that_is_mended_late_is_mended_again(places: DatasetPaths) -> None:
    first = runs.run_of(put(places, "first"))
    put(places, "second")
    objects(places).put("scene.json", ITEM)  # of who slept behind its receipt, and goes on to mend it

    def meanwhile() -> None:
        if read(places) == "second":
            thread = threading.Thread(target=put, args=(places, "third"))
            thread.start()
            thread.join()

    with around(meanwhile, lambda: None):
        runs._mend_item(objects(places), places.product("scene", ".tif"), first)
    assert read(places) == "third"
    item = json.loads(objects(places).get("scene.json") or b"")
    assert objects(places).find(item["assets"]["data"]["href"].removeprefix("./")) is not None


def test_an_item_that_comes_late_goes_where_the_product_has_none(places: DatasetPaths) -> None:
    old = put(places, "old")
    product, scratch, sums = stage(places, "new")
    ProductPaths(scratch.staged, product.name).stac.unlink()
    del sums["scene.json"]
    with held(lease_path(places.scratch("scene"))):
        publish(product, scratch, RECEIPT, sums)
    objects(places).put("scene.json", ITEM)
    runs._mend_item(objects(places), product, runs.run_of(old))
    assert read(places) == "new"
    assert objects(places).get("scene.json") is None


def test_what_a_machine_that_is_gone_uploaded_goes_with_its_lease(places: DatasetPaths) -> None:
    put(places, "0")
    shutil.rmtree(places.scratch("scene"), ignore_errors=True)  # its work is on its own disk
    objects(places).put(f"{DEAD}/scene.tif", b"half")
    assert leases.put_if_absent(lease_path(places.scratch("scene")), replace(myself(), pid=2**22 + 1))
    sweep_dataset(places, {"scene"})
    assert (read(places), leftovers(places)) == ("0", [])
    assert not leases.is_there(lease_path(places.scratch("scene")))
