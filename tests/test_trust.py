"""The trust map: its arithmetic, what it promises, and its way through a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_info, cog_validate
from scipy import ndimage

from srcore.checkpoints import locate, read_spec
from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.job import OUTPUTS
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.trust import MEMBERS, Spread, Trust, conformal_factor, half_width, turned, turned_back

pytestmark = pytest.mark.slow

WITH_TRUST = (*OUTPUTS, "trust")
TRUST = Trust(coverage=0.9, factor=3.0, floor=0.01, back_projection=1, scenes=2, found=(0.8, 0.9, 1.0))


def test_eight_orientations_differ_and_turn_back() -> None:
    block = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    seen = [turned(block, member) for member in range(MEMBERS)]
    assert len({(one.shape, one.tobytes()) for one in seen}) == MEMBERS
    for member, one in enumerate(seen):
        np.testing.assert_array_equal(turned_back(one, member), block)


def test_spread_is_the_standard_deviation() -> None:
    members = np.random.default_rng(0).normal(3, 2, (MEMBERS, 2, 9, 7)).astype(np.float32)
    spread = Spread(members[0])
    for member in members[1:]:
        spread.add(member)
    np.testing.assert_allclose(spread.deviation(), members.std(axis=0), rtol=1e-5)


def test_a_half_width_is_never_rounded_down() -> None:
    spread = np.random.default_rng(0).exponential(0.1, (2, 50, 50)).astype(np.float32)
    exact = 3.0 * (spread.astype(np.float64) + np.float32(0.01)) * np.reshape([2000, 0.5], (2, 1, 1))
    wide = half_width(spread, TRUST, (2000, 0.5))
    assert (wide >= exact * (1 - 1e-6)).all()
    assert (wide <= exact * (1 + 2**-10)).all()


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_the_factor_covers_what_comes_next(coverage: float) -> None:
    rng = np.random.default_rng(2)
    held = [
        np.mean(rng.exponential(size=400) <= conformal_factor([rng.exponential(size=n) for n in (300, 900)], coverage))
        for _ in range(200)
    ]
    assert coverage - 0.01 <= np.mean(held) <= coverage + 0.02


def test_groups_count_alike_whatever_their_size() -> None:
    few, many = np.full(100, 10.0), np.full(10000, 1.0)
    assert conformal_factor([few, many], 0.9) == 10
    assert conformal_factor([few, many], 0.4) == 1


@pytest.mark.parametrize("form", ["tag", "none"])
def test_a_run_publishes_the_map_beside_the_product(
    form: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(2, (61, 83), "uint16")
    nodata = 0 if form == "tag" else None
    values[:, 20:30, 40:50] = 0
    source = write_raster(values, nodata=nodata)
    output = source.parent / "sr.tif"
    receipt = run_scene(direct_job(str(source), output, tile=32, block=64, outputs=WITH_TRUST), Workers(0))
    plain = source.parent / "plain.tif"
    run_scene(direct_job(str(source), plain, tile=32, block=64), Workers(0))
    assert receipt is not None
    assert "sr.trust.tif" in {item.name for item in receipt.outputs}
    assert receipt.parameters["trust"]["coverage"] == 0.9
    valid, errors, warnings = cog_validate(source.parent / "sr.trust.tif", strict=True)
    assert valid, (errors, warnings)
    info = cog_info(source.parent / "sr.trust.tif")
    assert (info.Compression, info.Profile.Interleave) == ("ZSTD", "BAND"), "the form of the product"
    with rasterio.open(source.parent / "sr.trust.tif") as trust, rasterio.open(output) as sr:
        wide, mask = trust.read(), sr.read_masks() > 0
        assert trust.dtypes == ("float32",) * 2
        assert (trust.transform, trust.crs, trust.shape) == (sr.transform, sr.crs, sr.shape)
    np.testing.assert_array_equal(np.isfinite(wide), mask)
    assert (wide[mask] > 0).all()
    assert output.read_bytes() == plain.read_bytes(), "the product itself does not depend on the trust map"
    checks = {check["id"]: check for check in receipt.checks}
    assert checks["trust.mask"]["passed"]
    assert 0 < checks["trust.width"]["value"] < 1
    assert "How far may the product be off" in (source.parent / "sr.report.html").read_text()


def test_tiled_is_whole(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> None:
    source = write_raster(landscape(1, (61, 83), "uint16"))
    maps = []
    for tile in (16, 128):
        output = source.parent / f"sr{tile}.tif"
        options = {"tile": tile, "block": 32, "outputs": WITH_TRUST, "precision": "float32"}
        run_scene(direct_job(str(source), output, **options), Workers(0))
        with rasterio.open(source.parent / f"sr{tile}.trust.tif") as trust:
            maps.append(trust.read())
    np.testing.assert_allclose(maps[0], maps[1], rtol=2e-3)


def test_a_map_that_holds_less_than_it_says_is_told(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape(1, (64, 64), "uint16"))
    far = write_raster(landscape(1, (128, 128), "uint16")[:, ::-1], name="hr.tif")
    job = direct_job(str(source), source.parent / "sr.tif", outputs=WITH_TRUST, hr=far, validate=False)
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    coverage = next(check for check in receipt.checks if check["id"] == "trust.coverage")
    assert coverage["value"] < 0.7
    assert not coverage["passed"]


def test_volumes_have_one_too(tmp_path: Path) -> None:
    voxels = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 300, (24, 24, 2)), 1).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), tmp_path / "v.nii.gz")
    run_scene(direct_job(str(tmp_path / "v.nii.gz"), tmp_path / "sr.nii.gz", outputs=WITH_TRUST), Workers(0))
    wide = nibabel.load(tmp_path / "sr.trust.nii.gz")
    assert wide.shape == (48, 48, 2)
    assert (np.asarray(wide.dataobj) > 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"model": "bicubic-x2"}, "no calibration"), ({"back_projection": 0}, "another back-projection")],
)
def test_without_a_calibration_nothing_starts(
    options: dict[str, object], said: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape())
    with pytest.raises(PlanError, match=said):
        run_scene(direct_job(str(source), source.parent / "sr.tif", outputs=WITH_TRUST, **options), Workers(0))


@pytest.mark.parametrize("model", ["srcore-x2", "srcore-x2-fast", "srcore-x4"])
def test_the_shipped_calibration_names_its_terms(model: str) -> None:
    trust = read_spec(locate(model)).trust
    assert trust is not None
    low, mean, high = trust.found
    assert low <= mean <= high
    assert abs(mean - trust.coverage) < 0.03
