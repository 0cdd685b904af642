"""Classes, bits, angles and ranges, from the file to the product."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage

from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.run.direct import direct_job
from srcore.run.face import validate
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
from tests.storage.test_meaning import angles, patches

CODES = np.array([1, 4, 5, 6, 9, 11, 255], np.uint8)


def upscale(source: Path, **options: Any) -> tuple[Path, Receipt]:
    output = source.parent / f"{source.name.partition('.')[0]}-sr{''.join(source.suffixes)}"
    receipt = run_scene(direct_job(str(source), output, **{"model": "srcore-x2-fast", **options}), Workers(0))
    assert receipt is not None
    return output, receipt


def repeated(values: np.ndarray) -> np.ndarray:
    return np.kron(values, np.ones((2, 2), values.dtype))


@pytest.mark.parametrize("shape", [(300, 310), (61, 83)])
def test_classes_with_their_colours_are_repeated_in_all_overviews(
    shape: tuple[int, int], write_raster: Callable[..., Path]
) -> None:
    classes = CODES[patches(7, shape=shape)]
    path = write_raster(classes[None], photometric="palette", nodata=255)
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {int(code): (int(code), 7, 200, 255) for code in CODES})
    output, receipt = upscale(path, block=128, tile=64)
    assert cog_validate(output, strict=True)[0]
    with rasterio.open(output) as sr:
        np.testing.assert_array_equal(sr.read(1), repeated(classes))
        assert [sr.colormap(1)[int(code)][:3] for code in CODES] == [(int(code), 7, 200) for code in CODES]
        assert sr.colorinterp[0].name == "palette"
        levels = len(sr.overviews(1))
    assert levels == (3 if shape[0] == 300 else 1)
    for level in range(levels):
        with rasterio.open(output, overview_level=level) as coarse:
            assert set(np.unique(coarse.read(1)).tolist()) <= set(CODES.tolist())
    assert receipt.verdict == "published"
    assert any("categorical (classes), each SR pixel is the LR pixel" in flag for flag in receipt.flags)


def test_a_quality_band_beside_two_of_light(write_raster: Callable[..., Path], landscape: Callable[..., Any]) -> None:
    light = landscape(2, (61, 83), "uint16")
    bits = np.array([21824, 22280, 23888], np.uint16)[patches(3, shape=(61, 83))]
    for name, values in (("B4", light[0]), ("B5", light[1]), ("QA_PIXEL", bits)):
        write_raster(values[None], f"s_{name}.tif")
    folder = write_raster(light[:1], "plain.tif").parent
    pair = write_raster(light, "pair.tif")
    names = ("B4", "B5", "QA_PIXEL")
    job = direct_job(str(folder / "s_{band}.tif"), folder / "out.tif", model="srcore-x2-fast", bands=names)
    receipt = run_scene(job, Workers(0))
    alone, _ = upscale(pair)
    with rasterio.open(folder / "out.tif") as sr, rasterio.open(alone) as expected:
        np.testing.assert_array_equal(sr.read(3), repeated(bits))
        np.testing.assert_array_equal(sr.read([1, 2]), expected.read())
    assert receipt is not None
    assert any(flag.startswith("QA_PIXEL: bits") for flag in receipt.flags)


def test_angles_and_masks_are_repeated(write_raster: Callable[..., Path]) -> None:
    aspect = angles(360, 0)
    aspect[:40, :50] = -9999
    output, _ = upscale(write_raster(aspect[None], nodata=-9999))
    mask = (patches(2, shape=(128, 128)) * 255).astype(np.uint8)
    binary, _ = upscale(write_raster(mask[None], "mask.tif"))
    with rasterio.open(output) as sr, rasterio.open(binary) as two:
        np.testing.assert_array_equal(sr.read(1), repeated(aspect))
        np.testing.assert_array_equal(two.read(1), repeated(mask))


def test_filters_leave_classes_alone(write_raster: Callable[..., Path]) -> None:
    classes = CODES[patches(7)]
    output, _ = upscale(write_raster(classes[None]), denoise=1.0, sharpen=0.5)
    with rasterio.open(output) as sr:
        np.testing.assert_array_equal(sr.read(1), repeated(classes))


def test_labels_of_a_volume_are_repeated(tmp_path: Path) -> None:
    labels = np.array([0, 1, 3], np.uint8)[np.stack([patches(3, shape=(40, 36))] * 5)]
    nibabel.save(nibabel.Nifti1Image(labels.T, np.eye(4)), tmp_path / "labels.nii.gz")
    output, receipt = upscale(tmp_path / "labels.nii.gz", model="srcore-volume-x2")
    found = np.asarray(nibabel.load(output).dataobj).T
    np.testing.assert_array_equal(found, np.kron(labels, np.ones((2, 2, 2), np.uint8)))
    assert any("classes" in flag for flag in receipt.flags)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_range_is_kept_and_what_breaks_it_in_the_lr_is_told(
    dtype: str, write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    low, high = (0.0, 1.0) if dtype == "float32" else (20, 100)
    steps = landscape(1, (61, 83), "float32") > 2500
    values = np.where(steps, high, low).astype(dtype) + landscape(1, (61, 83), "float32").astype(dtype) * 0
    path = write_raster(values)
    free, _ = upscale(path, values="continuous")
    with rasterio.open(free) as sr:
        assert sr.read().min() < low
        assert sr.read().max() > high
    kept, receipt = upscale(path, overwrite=True, values="continuous", valid_range=(low, high))
    with rasterio.open(kept) as sr:
        assert (sr.read().min(), sr.read().max()) == (low, high)
    assert not any("lies beyond its valid range" in flag for flag in receipt.flags)
    _, narrow = upscale(path, overwrite=True, validate=False, values="continuous", valid_range=(low, (low + high) / 2))
    assert any(flag.startswith(f"{100 * steps.mean():.3g} % of band 1 lies beyond") for flag in narrow.flags)


def test_another_tools_product_is_validated_alike(write_raster: Callable[..., Path]) -> None:
    classes = CODES[patches(7)]
    lr, wide = write_raster(classes[None]), {"transform": Affine(5, 0, 600000, 0, -5, 5200000)}
    good = write_raster(repeated(classes)[None], "good.tif", **wide)
    blurred = ndimage.uniform_filter(repeated(classes), 3)[None]
    bad = write_raster(blurred, "bad.tif", **wide)
    assert [check.id for check in validate(good, lr).failed_gates] == []
    assert [check.id for check in validate(bad, lr).failed_gates] == ["values.copied"]
    ranged = validate(bad, lr, values="continuous", valid_range=(0, 8))
    assert "values.range" in [check.id for check in ranged.failed_gates]


def test_the_plan_refuses_a_trust_map_of_classes(write_raster: Callable[..., Path]) -> None:
    with pytest.raises(PlanError, match="band 1 never go through it") as caught:
        upscale(write_raster(CODES[patches(7)][None]), outputs=("cog", "trust"), model="srcore-x2")
    assert caught.value.code == "NOT_CALIBRATED"


def test_what_numbers_are_stands_in_the_stac_item_and_the_receipt(
    write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    output, receipt = upscale(write_raster(landscape(2, (61, 83))), valid_range=(0, None), values={"2": "bits"})
    told = json.loads(output.with_suffix(".json").read_text())["properties"]
    assert told["srcore:values"] == {"band 2": "bits"}
    assert told["srcore:valid_range"] == [0, None]
    assert receipt.parameters["values"] == {"2": "bits"}
    assert list(receipt.parameters["valid_range"]) == [0, None]
