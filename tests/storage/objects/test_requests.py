"""What a night asks of an object store, counted: money and hours where an archive has 100,000 scenes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults import archive
from tests.s3 import counted
from tests.storage.objects.test_night import catalog_at


def kinds(asked: list[str]) -> Counter[str]:
    return Counter(one.split()[0] for one in asked)


def of_scenes(asked: list[str]) -> list[str]:
    """Those for something of one scene alone."""
    return sorted(one for one in asked if "/scene" in one or "'fields/quarantine/" in one)


@pytest.fixture
def several(tmp_path: Path, address: str) -> Path:
    for seed in range(4):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed)
    return catalog_at(tmp_path, address)


def test_of_a_scene_that_is_up_to_date_its_receipt_is_asked_for_once_and_nothing_else(
    several: Path, tmp_path: Path
) -> None:
    archive.run(several)
    archive.run(several)  # the page may have been written within the second of the last receipt
    with counted() as four:
        assert {one.result for one in archive.run(several)} == {"up to date"}
    receipts = [f"GET fields/products/scene{seed}/scene{seed}.receipt.json" for seed in range(4)]
    assert of_scenes(four) == receipts
    (tmp_path / "in" / "scene3.tif").unlink()
    with counted() as three:
        archive.run(several)
    assert len(four) - len(three) == 1
    assert len(three) - len(of_scenes(three)) <= 20


def test_a_due_scene_costs_a_small_number_of_requests(several: Path, tmp_path: Path) -> None:
    archive.run(several)
    archive.run(several)
    for seed in range(3):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed + 10)
    with counted() as asked:
        assert [one.result for one in archive.run(several)].count("published") == 3
    of_one = [one for one in asked if "scene1" in one]
    receipt = [one for one in of_one if one.endswith("scene1.receipt.json")]
    lease = [one for one in of_one if one.endswith("lease.json")]
    files = [one for one in of_one if one.split()[1].count("/") == 4 and one.startswith("PUT")]
    assert (len(files), len(receipt), len(lease)) == (5, 7, 6)
    assert len(of_one) - 2 * len(files) <= 25
