"""What a night asks of an object store, counted: money and hours where an archive has 100,000 scenes."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults import archive
from tests.s3 import counted
from tests.storage.objects.test_night import catalog_at


def of_scenes(asked: list[str]) -> list[str]:
    """Those for something of one scene alone."""
    return sorted(one for one in asked if "/scene" in one or "'fields/quarantine/" in one)


def test_of_a_scene_that_is_up_to_date_its_receipt_is_asked_for_and_a_due_one_costs_a_few(
    tmp_path: Path, address: str
) -> None:
    for seed in range(2):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed)
    catalog = catalog_at(tmp_path, address)
    archive.run(catalog)
    time.sleep(1.1)
    archive.run(catalog)  # the page may have been written within the second of the last receipt
    with counted() as asked:
        assert {one.result for one in archive.run(catalog)} == {"up to date"}
    receipts = [f"GET fields/products/scene{seed}/scene{seed}.receipt.json" for seed in range(2)]
    assert of_scenes(asked) == receipts
    assert len(asked) - len(receipts) <= 20, "what a night costs however many scenes there are"
    archive.write_scene(tmp_path / "in" / "scene1.tif", seed=9)
    with counted() as asked:
        assert [one.result for one in archive.run(catalog)] == ["up to date", "published"]
    of_one = [one for one in asked if "scene1" in one]
    files = [one for one in of_one if one.startswith("PUT") and one.count("/") == 4]
    receipt = [one for one in of_one if one.endswith("scene1.receipt.json")]
    lease = [one for one in of_one if one.endswith("scene1/lease.json")]
    assert (len(files), len(receipt), len(lease)) == (5, 7, 6)
    assert len(of_one) - 2 * len(files) <= 25
