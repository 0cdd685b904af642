"""The filters around the generator: what they find and take, and that no tile border shows in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio

from srcore.catalog import load_catalog
from srcore.catalog.dataset import Dataset
from srcore.dispatch import Workers
from srcore.errors import GateError, PlanError
from srcore.filters import DENOISE_PX, SHARPEN_PX, denoised, noise_deviation, sharpened
from srcore.layout import ProductPaths
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt

pytestmark = pytest.mark.slow

HERE = Workers(0)
BOTH = {"denoise": 1.0, "sharpen": 0.3}


def receipt_of(source: Path, name: str = "out.tif", **options: Any) -> tuple[Receipt, Path]:
    output = source.parent / name
    receipt = run_scene(
        direct_job(str(source), output, **{"model": "bicubic-x2", "tile": 32, "block": 32, **options}), HERE
    )
    assert receipt is not None
    return receipt, output


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as product:
        return np.asarray(product.read())


def noisy(values: np.ndarray, deviation: float, seed: int = 5) -> np.ndarray:
    drawn = values + np.random.default_rng(seed).normal(0, deviation, values.shape)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        drawn = np.clip(np.rint(drawn), limits.min + 1, limits.max - 1)
    return drawn.astype(values.dtype)


@pytest.mark.parametrize("deviation", [2.0, 40.0, 300.0])
def test_the_deviation_of_white_noise_is_found(deviation: float) -> None:
    ramp = np.add.outer(np.linspace(0, 4000, 64), np.linspace(0, 9000, 64))
    windows = [(noisy(ramp[None], deviation, seed), np.ones((1, 64, 64), bool)) for seed in range(20)]
    assert noise_deviation(windows)[0] == pytest.approx(deviation, rel=0.1)


def test_nodata_and_what_is_flat_tell_nothing_of_noise() -> None:
    values = noisy(np.full((2, 64, 64), 900.0), 7.0)
    valid = np.ones(values.shape, bool)
    values[0, ::2, :32], valid[0, ::2, :32] = 1e6, False
    values[1] = 900
    found = noise_deviation([(values, valid), (np.full_like(values, np.nan), np.zeros_like(valid))])
    assert found[0] == pytest.approx(7.0, rel=0.15)
    assert found[1] == 0
    assert noise_deviation([]) == ()


def test_denoising_takes_noise_and_leaves_edges() -> None:
    truth = np.where(np.arange(80) < 40, 100.0, 900.0)[None, None].repeat(60, 1)
    found = denoised(noisy(truth, 10.0), [10.0])
    assert np.sqrt(np.mean((found - truth) ** 2)) < 6
    assert found[0, :, 40].mean() - found[0, :, 39].mean() > 790
    np.testing.assert_array_equal(denoised(truth, [0.0]), truth)
    assert np.isfinite(denoised(truth * 0, [1.0])).all()


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_filter_sees_what_its_margin_says_and_no_more(dtype: str, landscape: Callable[..., np.ndarray]) -> None:
    scene = noisy(landscape(2, (61, 53), dtype), 30)
    whole = denoised(scene, [40.0, 3.0])
    part = denoised(scene[:, 7:40, 5:31], [40.0, 3.0])
    margin = slice(DENOISE_PX, -DENOISE_PX)
    np.testing.assert_array_equal(part[:, margin, margin], whole[:, 7:40, 5:31][:, margin, margin])
    for scale in (2, 3, 4):
        sr = (scene.astype(np.float32) / 4000).repeat(scale, 1).repeat(scale, 2)
        margin = slice(SHARPEN_PX * scale, -SHARPEN_PX * scale)
        window = (slice(None), slice(3, 59), slice(8, 61))
        found, expected = sharpened(sr[window], 1.5, scale), sharpened(sr, 1.5, scale)[window]
        np.testing.assert_array_equal(found[:, margin, margin], expected[:, margin, margin])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(sharpened(sr[:, None], 0.5, scale)[:, 0], sharpened(sr, 0.5, scale))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("uint8", (47, 71)),
        ("uint16", (1, 67)),
        ("int16", (40, 2)),
        ("float32", (61, 43)),
    ],
)
def test_tiled_is_untiled_with_both_filters_beside_nodata(
    dtype: str, shape: tuple[int, int], landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = noisy(landscape(2, shape, dtype), 3 if dtype == "uint8" else 60)
    nodata = float("nan") if dtype == "float32" else 0
    rng = np.random.default_rng(3)
    for _ in range(8):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        values[:, y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = nodata
    results = []
    for tile in (16, 30, 128):
        source = write_raster(values, f"cut-{tile}.tif", nodata=nodata)
        receipt, output = receipt_of(source, f"sr-{tile}.tif", tile=tile, validate=False, precision="float32", **BOTH)
        results.append(pixels(output))
    found = np.isnan(results[0]) if dtype == "float32" else results[0] == nodata
    expected = np.isnan(values) if dtype == "float32" else values == nodata
    np.testing.assert_array_equal(found, expected.repeat(2, 1).repeat(2, 2))
    for result in results[:2]:
        np.testing.assert_array_equal(result, results[2])
    assert receipt.parameters["noise_dn"]


def test_tiled_is_untiled_by_the_trained_generator(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(noisy(landscape(1, (97, 71)), 60))
    results = []
    for tile, steps in ((32, 1), (128, 1), (32, 0), (128, 0)):
        options = {"tile": tile, "back_projection": steps, "precision": "float32", "model": "srcore-x2-fast"}
        results.append(pixels(receipt_of(source, f"{tile}-{steps}.tif", **options, **BOTH)[1]).astype(int))
    for one, other in (results[:2], results[2:]):
        # a float that lies on a half may round either way where a kernel changes its order
        assert np.abs(one - other).max() <= 1
        assert (one != other).mean() < 1e-3
    assert (results[0] != results[2]).mean() > 0.1


def test_a_volume_is_filtered_slice_by_slice(tmp_path: Path, landscape: Callable[..., np.ndarray]) -> None:
    one = noisy(landscape(1, (37, 41), "int16"), 60)[0]
    source = tmp_path / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.stack([one, one[::-1], one], axis=2), np.eye(4)), source)
    results = []
    for tile in (16, 64):
        receipt, output = receipt_of(source, f"{tile}.nii.gz", tile=tile, precision="float32", **BOTH)
        results.append(np.asarray(nibabel.load(output).dataobj))
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(results[0][..., 0], results[0][..., 2])
    assert receipt.parameters["noise_dn"][0] > 30


def test_off_leaves_every_byte_and_on_says_so(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(noisy(landscape(), 60))
    plain, output = receipt_of(source, "plain.tif")
    zeros, zero_output = receipt_of(source, "zeros.tif", denoise=0.0, sharpen=0.0)
    assert output.read_bytes() == zero_output.read_bytes()
    assert zeros.configuration == plain.configuration
    assert not set(BOTH) & set(plain.parameters)
    receipt, filtered = receipt_of(source, "filtered.tif", **BOTH)
    assert filtered.read_bytes() != output.read_bytes()
    assert receipt.configuration != plain.configuration
    assert {name: receipt.parameters[name] for name in BOTH} == BOTH
    assert all(60 < noise < 140 for noise in receipt.parameters["noise_dn"])
    check = next(check for check in receipt.checks if check["id"] == "denoise.removed")
    assert 0.3 < check["value"] < 1
    item = json.loads((source.parent / "filtered.json").read_text())["properties"]
    assert (item["srcore:denoise"], item["srcore:sharpen"]) == (1.0, 0.3)
    page = (source.parent / "filtered.report.html").read_text()
    assert "Was no more taken out of the input than its noise?" in page


def test_denoising_brings_the_product_closer_to_the_truth(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    hr = landscape(1, (128, 160)).astype(np.float64)
    lr = hr.reshape(1, 64, 2, 80, 2).mean(axis=(2, 4))
    source = write_raster(noisy(lr.astype(np.uint16), 150))
    errors = [
        np.square(pixels(receipt_of(source, f"{amount}.tif", denoise=amount)[1]) - hr).mean()
        for amount in (0.0, 0.5, 1.0)
    ]
    assert all(b < a for a, b in pairwise(errors)), errors


def test_gates_stop_what_sharpening_and_denoising_spoil(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape(2, (96, 96)) + np.uint16(3000))
    with pytest.raises(GateError, match=r"consistency\.ratio"):
        receipt_of(source, "sharp.tif", sharpen=4.0)
    with pytest.raises(GateError, match=r"consistency\.ratio"):  # nothing brings the means back
        receipt_of(source, "own.tif", sharpen=2.0, back_projection=0)
    receipt, _ = receipt_of(source, "told.tif", sharpen=8.0, validate=False)
    assert ("detail.beyond", "GATE", False) in {(one["id"], one["kind"], one["passed"]) for one in receipt.checks}
    with pytest.raises(GateError, match=r"denoise\.removed"):
        receipt_of(source, "smooth.tif", denoise=4.0, limits={"denoise.removed": {"gate": 0.2, "warn": 0.1}})
    assert not any(ProductPaths(source.parent, f"{name}.tif").data.exists() for name in ("sharp", "own", "smooth"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"denoise": 9.0}, "denoise is out of range; found 9"),
        ({"sharpen": float("nan")}, "sharpen is out of range; found nan"),
        ({"denoise": 1.0, "outputs": ("cog", "trust"), "model": "srcore-x2"}, "without filters"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    options: dict[str, Any], said: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    with pytest.raises(PlanError) as caught:
        receipt_of(write_raster(landscape()), **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["denoise", "sharpen"])
@pytest.mark.parametrize("value", [-0.1, 17, True, "1", float("nan")])
def test_the_catalog_takes_a_range(key: str, value: object) -> None:
    entry: dict[str, Any] = {"kind": "raster", "source": "*.tif", "model": "srcore-x2"}
    assert getattr(Dataset(**entry), key) == 0
    assert getattr(Dataset(**entry, **{key: 1}), key) == 1
    with pytest.raises(ValueError, match=key):
        Dataset(**entry, **{key: value})
    with pytest.raises(ValueError, match="trust map holds without filters"):
        Dataset(**entry, **{key: 1}, products=("cog", "trust"))


def test_a_changed_option_makes_the_scene_due(
    tmp_path: Path, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    write_raster(noisy(landscape(1, (40, 40)), 60), "in/a.tif")
    catalog = tmp_path / "catalog.yaml"

    def states(filters: str) -> list[str]:
        catalog.write_text(
            "version: 1\nstore: ./store\ndatasets:\n  d:\n    kind: raster\n    source: ./in/*.tif\n"
            f"    model: bicubic-x2\n{filters}"
        )
        return [state.state for state in scene_states(load_catalog(catalog), "d")]

    assert states("") == ["new"]
    run_dataset(catalog, "d", lambda job: run_scene(job, HERE))
    assert states("") == states("    denoise: 0\n") == ["published"]
    assert states("    denoise: 1\n") == states("    sharpen: 0.2\n") == ["changed"]
    run_dataset(catalog, "d", lambda job: run_scene(job, HERE))
    assert states("    sharpen: 0.2\n") == ["published"]
    assert states("    sharpen: 0.3\n") == ["changed"]
