"""What is counted does not depend on how the scene is cut, and stands where it belongs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srcore.checks.blocks import average_down
from srcore.radiometry import Normalisation, percentile_normalisation
from srcore.report.evidence import BINS, CELLS, Evidence, EvidenceCollector

SCALE = (2, 2)


def collect(
    lr: np.ndarray, valid: np.ndarray, sr: np.ndarray, cuts: tuple[int, ...], pictures: bool = True
) -> Evidence:
    """Evidence of a scene that is cut into cores of the sizes `cuts`."""
    samples = [band[seen] for band, seen in zip(lr, valid, strict=True)]
    collector = EvidenceCollector(percentile_normalisation(samples), lr.dtype, lr.shape[1:], pictures)
    scale = tuple(big // small for big, small in zip(sr.shape[1:], lr.shape[1:], strict=True))
    for start in np.ndindex(*(-(-n // cut) for n, cut in zip(lr.shape[1:], cuts, strict=True))):
        core = tuple(slice(i * cut, min((i + 1) * cut, n)) for i, cut, n in zip(start, cuts, lr.shape[1:], strict=True))
        core_hr = tuple(slice(one.start * s, one.stop * s) for one, s in zip(core, scale, strict=True))
        part, seen, fine = (
            array[(slice(None), *window)] for array, window in ((lr, core), (valid, core), (sr, core_hr))
        )
        seen_hr = seen
        for axis, s in enumerate(scale, 1):
            seen_hr = seen_hr.repeat(s, axis)
        collector.add(core, part, seen, fine, seen_hr, average_down(fine, scale))
    return collector.evidence()


def scene(dtype: str = "uint16", shape: tuple[int, ...] = (2, 61, 83)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    lr = rng.integers(10, 250, shape).astype(dtype)
    valid = rng.random(shape) < 0.9
    sr = lr.repeat(2, axis=-2).repeat(2, axis=-1)
    return lr, valid, sr


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("cuts", [(61, 83), (16, 32), (7, 5)])
def test_cuts_do_not_matter(dtype: str, cuts: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcore.report.evidence.CELLS", 20)  # cells of 5 pixels
    lr, valid, sr = scene(dtype)
    sr[:, 20:30, 10:40] += 9
    whole, parts = collect(lr, valid, sr, (61, 83)), collect(lr, valid, sr, cuts)
    assert parts.histograms == whole.histograms
    assert parts.difference is not None
    assert whole.difference is not None
    np.testing.assert_allclose(parts.difference, whole.difference, rtol=1e-6)
    assert whole.step == 5
    assert whole.difference.shape == (13, 17)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_shares_are_of_all_valid_pixels(dtype: str) -> None:
    lr, valid, sr = scene(dtype)
    for histogram in collect(lr, valid, sr, (61, 83)).histograms:
        assert sum(histogram.lr) + histogram.beyond[0] == pytest.approx(1)
        assert sum(histogram.sr) + histogram.beyond[1] == pytest.approx(1)
        assert histogram.lr == pytest.approx(histogram.sr)  # nearest: the same values, four times
        assert len(histogram.lr) == BINS


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_a_large_part_is_counted_number_by_number_and_the_same(dtype: str) -> None:
    rng = np.random.default_rng(2)
    limits = np.iinfo(dtype)
    lr = rng.integers(limits.min, limits.max, (1, 150, 160), dtype, endpoint=True)
    sr = lr.repeat(2, 1).repeat(2, 2)
    sr[0, :3] = [[limits.min], [limits.max], [0]]
    valid = rng.random(lr.shape) < 0.9
    valid[:, :75] = True
    assert sr.size > 2**16 > sr[:, :150].size
    [whole], [parts] = (collect(lr, valid, sr, cuts).histograms for cuts in ((150, 160), (75, 160)))
    assert whole == parts


def test_whole_numbers_fall_into_bins_of_whole_numbers() -> None:
    lr = np.arange(40 * 50, dtype=np.uint16).reshape(1, 40, 50) % 400
    [histogram] = collect(lr, np.ones(lr.shape, bool), lr.repeat(2, 1).repeat(2, 2), (40, 50)).histograms
    assert histogram.width == int(histogram.width)
    full = [share for share in histogram.lr if share > 0]
    assert max(full[1:-1]) == pytest.approx(min(full[1:-1]))  # no comb


def test_the_difference_stands_where_it_is() -> None:
    lr, _, sr = scene()
    valid = np.ones(lr.shape, bool)
    valid[:, :5, :7] = False
    span = percentile_normalisation([lr[0][valid[0]], lr[1][valid[1]]]).scale
    sr[0, 40:42, 60:62] += 100  # LR pixel (20, 30)
    found = collect(lr, valid, sr, (16, 16)).difference
    assert found is not None
    assert np.isnan(found[:5, :7]).all()
    assert found[20, 30] == pytest.approx(100 / span[0] / 2)  # mean of two bands
    assert np.nansum(found) == pytest.approx(found[20, 30])


def test_a_volume_is_seen_from_above() -> None:
    rng = np.random.default_rng(1)
    lr = rng.integers(0, 900, (1, 5, 20, 30)).astype(np.int16)
    sr = lr.repeat(2, 2).repeat(2, 3)
    sr[0, 3, 8:10, 12:14] += 50
    evidence = collect(lr, np.ones(lr.shape, bool), sr, (1, 16, 16))
    assert evidence.difference is not None
    assert evidence.shape == evidence.difference.shape == (20, 30)
    assert np.unravel_index(int(np.argmax(evidence.difference)), (20, 30)) == (4, 6)
    assert (evidence.difference > 0).sum() == 1


def test_its_size_does_not_grow_with_the_scene() -> None:
    collector = EvidenceCollector(Normalisation((0.0,), (1.0,)), np.dtype("float32"), (40_001, 100_003), True)
    assert max(collector.difference.shape) <= CELLS
    assert collector.evidence().shape == (40_001, 100_003)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_numbers_lie_beyond(value: float) -> None:
    lr, valid, sr = scene("float32")
    valid[:] = True
    sr[0, 0, 0] = value
    histogram = collect(lr, valid, sr, (61, 83)).histograms[0]
    assert sum(histogram.sr) + histogram.beyond[1] == pytest.approx(1)


def test_a_scene_without_a_valid_pixel() -> None:
    lr, valid, sr = scene()
    valid[:] = False
    evidence = collect(lr, valid, sr, (61, 83))
    assert sum(evidence.histograms[0].lr) == 0
    assert evidence.difference is not None
    assert np.isnan(evidence.difference).all()


@pytest.mark.parametrize("pictures", [True, False])
def test_what_is_saved_is_loaded(pictures: bool, tmp_path: Path) -> None:
    lr, valid, sr = scene()
    evidence = collect(lr, valid, sr, (61, 83), pictures)
    assert (evidence.difference is not None) == pictures
    evidence.save(tmp_path / "evidence.json")
    loaded = Evidence.load(tmp_path / "evidence.json")
    assert loaded is not None
    assert (loaded.histograms, loaded.step, loaded.shape) == (evidence.histograms, evidence.step, evidence.shape)
    if pictures:
        np.testing.assert_array_equal(loaded.difference, evidence.difference)
    assert Evidence.load(tmp_path / "none.json") is None
