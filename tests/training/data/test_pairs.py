"""Pairs: aligned, normalised, free of nodata, and a function of seed and step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from srcore.errors import CatalogError, SourceError
from srcore.training.config import TrainConfig
from srcore.training.data.batches import Geometry, Plane, draw_batch
from srcore.training.data.pairs import load_planes

GEOMETRY = Geometry(core=12, halo=5, scale=2)


def planes_of(config: TrainConfig, geometry: Geometry = GEOMETRY) -> list[Plane]:
    return load_planes(config.data, config.sources, geometry)


def test_shapes_and_alignment(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe(gain=(1, 1), offset=(0, 0))
    lr, hr = draw_batch(planes_of(config), GEOMETRY, config, step=0)
    assert lr.shape == (4, 1, 22, 22)
    assert hr.shape == (4, 1, 24, 24)
    assert lr.dtype == hr.dtype == torch.float32
    core = lr[..., 5:-5, 5:-5]
    # The mean of 2 x 2 HR pixels is nearer to their own LR pixel than to any neighbour.
    boxes = torch.nn.functional.avg_pool2d(hr, 2)
    here = (boxes - core).abs().mean()
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        assert here < (boxes - core.roll(shift, (-2, -1))).abs().mean() / 3


def test_a_batch_is_a_function_of_seed_and_step(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe()
    planes = planes_of(config)
    first, again = draw_batch(planes, GEOMETRY, config, 7), draw_batch(planes, GEOMETRY, config, 7)
    other = draw_batch(planes, GEOMETRY, config, 8)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_bands_are_normalised_one_by_one(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe()
    write_raster(config.data / "scene_a.tif", texture * np.array([[[1]], [[7]]], np.uint16))
    a, b = planes_of(config)
    for plane in (a, b):
        low, high = np.percentile((plane.values - plane.offset[0]) / plane.scale[0], (2, 98))
        assert (low, high) == (pytest.approx(0), pytest.approx(1))
    assert b.scale[0] > 3 * a.scale[0]


def test_no_patch_holds_nodata(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(gain=(1, 1), offset=(0, 0))
    holed = np.maximum(texture, 1)
    holed[:, :40, :] = 0
    holed[0, 60, 70] = 0
    write_raster(config.data / "scene_a.tif", holed, nodata=0)
    geometry = Geometry(core=4, halo=1, scale=2)
    for plane in planes_of(config, geometry):
        assert plane.starts is not None
        assert plane.starts.size
        width, window = plane.values.shape[2], geometry.window_hr[0]
        for start in plane.starts:
            y, x = divmod(int(start), width)
            patch = plane.values[0, y : y + window, x : x + window]
            assert patch.shape == (window, window)
            assert (patch > 0).all()


def test_shares_are_kept_whatever_the_sizes(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(sources=[{"files": "scene_*.tif", "share": 1}, {"files": "big_*.tif", "share": 3}])
    write_raster(config.data / "big_b.tif", np.tile(texture, (1, 2, 2)))
    chances = [plane.chance for plane in planes_of(config)]
    assert chances == pytest.approx([1 / 8, 1 / 8, 3 / 8, 3 / 8])


def test_a_giant_scene_has_the_chance_of_a_small_one(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe()
    write_raster(config.data / "scene_b.tif", np.tile(texture[:1], (1, 3, 3)))
    chances = [plane.chance for plane in planes_of(config)]
    assert chances == pytest.approx([1 / 4, 1 / 4, 1 / 2])


def test_bands_are_taken_by_name(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(sources=[{"files": "*.tif", "share": 1, "bands": ["band 2"]}])
    (plane,) = planes_of(config)
    assert np.array_equal(plane.values, texture[1:])
    with pytest.raises(SourceError, match=r"scene_a.tif has no band NIR; found band 1, band 2"):
        planes_of(recipe(sources=[{"files": "*.tif", "share": 1, "bands": ["NIR"]}]))


def test_a_band_of_another_file_becomes_the_lr_by_gain_and_offset(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    """A pair as Sentinel-2 has it: one file at 10 m, the other at 20 m, their bands neighbours in the spectrum."""
    source = {
        "files": "*_10m.tif",
        "share": 1,
        "bands": ["band 2"],
        "lr": ".",
        "lr_names": ["_10m", "_20m"],
        "lr_bands": ["band 3"],
        "fit": True,
    }
    config = recipe(sources=[source], gain=(1, 1), offset=(0, 0))
    write_raster(config.data / "t_10m.tif", texture)
    boxes = texture.reshape(2, 48, 2, 48, 2).mean(axis=(2, 4))
    other = np.stack([boxes[0], boxes[0], boxes[1] / 4 - 300]).astype(np.float32)
    with pytest.raises(SourceError, match=r"t_10m.tif has no LR of the name t_20m.tif"):
        planes_of(config)
    write_raster(config.data / "t_20m.tif", other)
    (plane,) = planes_of(config)
    assert plane.lr is not None
    np.testing.assert_allclose(plane.lr[0], boxes[1], atol=0.1)
    lr, hr = draw_batch([plane], GEOMETRY, config, step=0)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(hr, 2), lr[..., 5:-5, 5:-5], rtol=0, atol=1e-4)


def test_each_patch_gets_one_of_the_degradations_by_their_shares(recipe: Callable[..., TrainConfig]) -> None:
    """Box and a soft sensor are told apart by the contrast that they leave."""
    ways = [{"kind": "box", "share": 3}, {"kind": "sensor", "mtf": [0.05, 0.05], "share": 1}]
    config = recipe(degradation=ways, batch=256, gain=(1, 1), offset=(0, 0))
    lr, hr = draw_batch(planes_of(config), GEOMETRY, config, 0)
    boxes = torch.nn.functional.avg_pool2d(hr, 2)
    is_box = (lr[..., 5:-5, 5:-5] - boxes).abs().amax((1, 2, 3)) < 1e-3
    assert 0.68 < float(is_box.float().mean()) < 0.82
    contrast = lr[..., 5:-5, 5:-5].std((1, 2, 3)) / boxes.std((1, 2, 3))
    assert float(contrast[~is_box].max()) < 0.9


def test_a_source_has_its_own_degradation(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    own = {"files": "own_*.tif", "share": 1, "degradation": {"kind": "box", "noise": [0.2, 0.2]}}
    config = recipe(sources=[{"files": "scene_*.tif", "share": 1}, own], gain=(1, 1), offset=(0, 0))
    write_raster(config.data / "own_b.tif", texture[:1])
    planes = planes_of(config)
    (noisy,), quiet = [p for p in planes if p.degradation], [p for p in planes if not p.degradation]
    for plane, least, most in ((noisy, 0.19, 0.21), (quiet[0], 0, 0.1)):
        lr, hr = draw_batch([replace(plane, chance=1.0)], GEOMETRY, config, 0)
        error = (lr[..., 5:-5, 5:-5] - torch.nn.functional.avg_pool2d(hr, 2)).std()
        assert least <= float(error) <= most


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"fit": True}, "need lr, the folder of the measured LR"),
        ({"lr_names": ["a", "b"]}, "need lr, the folder of the measured LR"),
        ({"lr": "lr", "degradation": {"kind": "box"}}, "what was measured is not made"),
        ({"degradation": []}, "at least 1 item"),
        ({"degradation": {"kind": "box", "shift": 0.1}}, "shift belongs to kind: sensor"),
        ({"degradation": {"noise": [0.2, 0.1]}}, "must be a range from 0 up"),
        ({"degradation": {"blur": 3}}, "Extra inputs are not permitted"),
        ({"bands": []}, "at least 1 item"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(
    recipe: Callable[..., TrainConfig], source: dict[str, object], told: str
) -> None:
    with pytest.raises(CatalogError, match=told):
        recipe(sources=[{"files": "*.tif", "share": 1, **source}])


def test_slices_of_a_volume_share_one_normalisation(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe(sources=[{"files": "*.nii.gz", "share": 1}])
    rising = np.arange(3) * 100 + np.random.default_rng(0).integers(0, 50, (60, 70, 3))  # X, Y, Z
    nibabel.save(nibabel.Nifti1Image(rising.astype(np.int16), np.eye(4)), config.data / "ct.nii.gz")
    planes = planes_of(config)
    assert len(planes) == 3
    assert len({(p.offset, p.scale) for p in planes}) == 1
    assert planes[2].values.shape == (1, 70, 60)
    assert planes[2].values.mean() > 200


def test_too_small_an_image_is_refused(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe()
    write_raster(config.data / "scene_b.tif", texture[:, :50, :40])
    with pytest.raises(SourceError, match=r"scene_b.tif is too small.*50 x 40 pixels, patches of 52"):
        planes_of(config)


def test_a_source_without_files_and_an_image_of_nodata_are_refused(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path]
) -> None:
    with pytest.raises(SourceError, match="no image matches"):
        planes_of(recipe(sources=[{"files": "*.jp2", "share": 1}]))
    config = recipe()
    write_raster(config.data / "scene_a.tif", np.zeros((1, 96, 96), np.uint8), nodata=0)
    with pytest.raises(SourceError, match="no clear training patch"):
        planes_of(config)


def test_a_measured_lr_lies_under_its_hr(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(sources=[{"files": "*.tif", "share": 1, "lr": "lr"}], gain=(1, 1), offset=(0, 0))
    boxes = texture.reshape(2, 48, 2, 48, 2).mean(axis=(2, 4))
    write_raster(config.data / "lr" / "scene_a.tif", boxes.astype(np.float32))
    lr, hr = draw_batch(planes_of(config), GEOMETRY, config, step=0)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(hr, 2), lr[..., 5:-5, 5:-5], rtol=0, atol=1e-4)


def test_an_lr_that_does_not_belong_to_its_hr_is_refused(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(sources=[{"files": "*.tif", "share": 1, "lr": "lr"}])
    with pytest.raises(SourceError, match=r"scene_a.tif has no LR of the same name"):
        planes_of(config)
    write_raster(config.data / "lr" / "scene_a.tif", texture[:, :32, :32])
    with pytest.raises(SourceError, match=r"do not belong together; found LR 2 x 32 x 32, HR 2 x 96 x 96"):
        planes_of(config)


def test_too_few_images_are_not_trained_on(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe(least_images=2)
    with pytest.raises(SourceError, match="too few images to train on; found 1, the recipe asks for 2"):
        load_planes(config.data, config.sources, GEOMETRY, least=config.least_images)


def test_noise_and_optics_leave_the_hr_alone(recipe: Callable[..., TrainConfig]) -> None:
    plain = recipe(gain=(1, 1), offset=(0, 0))
    clean_lr, clean_hr = draw_batch(planes_of(plain), GEOMETRY, plain, 3)
    sensor = {"kind": "sensor", "mtf": [0.1, 0.1], "noise": [0.05, 0.05]}
    config = recipe(gain=(1, 1), offset=(0, 0), degradation=sensor)
    lr, hr = draw_batch(planes_of(config), GEOMETRY, config, 3)
    assert lr.shape == clean_lr.shape
    assert torch.equal(hr, clean_hr)
    quiet = recipe(gain=(1, 1), offset=(0, 0), degradation={**sensor, "noise": [0, 0]})
    noise = lr - draw_batch(planes_of(quiet), GEOMETRY, quiet, 3)[0]
    assert float(noise.std()) == pytest.approx(0.05, rel=0.05)


def test_a_generator_of_two_bands_gets_them_together(
    recipe: Callable[..., TrainConfig], write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    config = recipe(band_shuffle=True)
    (plane,) = load_planes(config.data, config.sources, GEOMETRY, bands=2)
    lr, hr = draw_batch([plane], GEOMETRY, config, 0)
    assert (lr.shape, hr.shape) == ((4, 2, 22, 22), (4, 2, 24, 24))
    write_raster(config.data / "scene_b.tif", texture[:1])
    with pytest.raises(SourceError, match=r"scene_b.tif does not have the generator's bands; found 1 bands"):
        load_planes(config.data, config.sources, GEOMETRY, bands=2)


def test_a_volume_generator_refuses_a_raster(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe()
    with pytest.raises(SourceError, match="is no volume"):
        load_planes(config.data, config.sources, Geometry(4, 2, (2, 2, 2)))
