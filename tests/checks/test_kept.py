"""What must be kept exactly is counted, and what an SR leaves that only the LR keeps to is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srcore.checks.blocks import MARGIN_PX, Block
from srcore.checks.kept import KeptCheck
from srcore.limits import LIMITS
from srcore.radiometry import Extent, nearest


def block_of(lr: np.ndarray, sr: np.ndarray, valid: np.ndarray | None = None) -> Block:
    """A block of LR (C, y, x) and SR (C, 2 y, 2 x)."""
    valid = np.ones(lr.shape, bool) if valid is None else valid
    around = np.pad(lr, [(0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX)], mode="edge")
    core = (slice(0, lr.shape[1]), slice(0, lr.shape[2]))
    return Block(core, around, valid, sr, nearest(valid, (2, 2)), (2, 2))


def found(block: Block, **facts: Any) -> dict[str, tuple[float | str, bool, str]]:
    extent = Extent(len(block.sr))
    extent.add(block.lr, block.valid)
    none = (None,) * len(block.sr)
    facts = {"copied": (False,) * len(block.sr), "ranges": none, "own": extent.ends, **facts}
    check = KeptCheck(**facts)
    check.add(block)
    return {one.id: (one.value, one.passed, one.kind) for one in check.checks(LIMITS)}


LR = np.random.default_rng(0).integers(1, 9, (2, 6, 7)).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_one_changed_class_is_found(dtype: str) -> None:
    lr = LR.astype(dtype)
    valid = np.ones(lr.shape, bool)
    valid[1, 0] = False
    sr = nearest(lr, (2, 2)).copy()
    sr[1, :2] = 0  # hidden: whatever stands there
    copied = (False, True)
    assert found(block_of(lr, sr, valid), copied=copied)["values.copied"] == (0, True, "GATE")
    sr[1, 5, 5] += 1
    assert found(block_of(lr, sr, valid), copied=copied)["values.copied"] == (1, False, "GATE")
    shown = block_of(lr, sr, valid)
    shown.sr_valid[1, 0, 0] = True
    assert found(shown, copied=copied)["values.copied"] == (2, False, "GATE")
    assert "values.copied" not in found(block_of(lr, sr, valid))


def test_one_pixel_beyond_the_valid_range_stops_a_product() -> None:
    sr = nearest(LR, (2, 2)).copy()
    ranges = (None, (1.0, 8.0))
    assert found(block_of(LR, sr), ranges=ranges)["values.range"] == (0, True, "GATE")
    sr[0, 3, 3] = 200  # a band without ends
    assert found(block_of(LR, sr), ranges=ranges)["values.range"] == (0, True, "GATE")
    sr[1, 3, 3], sr[1, 0, 0] = 9, 0
    assert found(block_of(LR, sr), ranges=ranges)["values.range"] == (2, False, "GATE")


@pytest.mark.parametrize(
    ("low", "high", "over", "told"),
    [
        (0.1, 9.0, (-0.01, 5.0), "values.sign"),
        (-9.0, -0.1, (-5.0, 0.01), "values.sign"),
        (-9.0, 9.0, (-9.0, 9.0), ""),
        (-9.0, 9.0, (-9.5, 9.5), ""),  # two of many pixels
        (0.0, 1.0, (0.0, 1.01), "values.bounded"),
        (-1.0, 1.0, (-1.01, 1.0), "values.bounded"),
        (0.0, 100.0, (0.0, 101.0), "values.bounded"),
        (0.0, 60.0, (0.0, 61.0), ""),
    ],
)
def test_ends_that_nobody_named_are_told(low: float, high: float, over: tuple[float, float], told: str) -> None:
    lr = np.random.default_rng(0).uniform(low, high, (1, 40, 40)).astype(np.float32)
    lr[0, 0, :2] = low, high
    sr = nearest(lr, (2, 2)).copy()
    sr[0, 40, 40:42] = over
    checks = found(block_of(lr, sr))
    assert [name for name, (_, passed, _) in checks.items() if not passed] == ([told] if told else [])
    assert all(kind == "WARN" for _, _, kind in checks.values())


def test_many_pixels_beyond_the_own_ends_are_told() -> None:
    lr = np.random.default_rng(0).uniform(300, 400, (1, 40, 40)).astype(np.float32)
    sr = nearest(lr, (2, 2)).copy()
    sr[0, :2] += 200
    assert found(block_of(lr, sr))["values.beyond"] == (pytest.approx(2 / 80), False, "WARN")
