"""Coarser bands brought to the grid of finer ones, from the folder of a provider to the published product."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from scipy import ndimage

from srcore.catalog import load_catalog
from srcore.checkpoints import Architecture
from srcore.dispatch import Workers
from srcore.errors import PlanError, SourceError
from srcore.models.guided import Guided
from srcore.radiometry import enlarged, percentile_normalisation
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.window import WindowWish
from srcore.training.data.degrade import REACH_LR, optics, reduce
from srcore.weights import build, describe, load_generator, save_checkpoint
from tests.storage.providers.products import CORNER, make_landsat, make_safe, write

SIDE = 120
"""10 m pixels."""
BANDS = {"B02": 10, "B08": 10, "B05": 20, "B11": 20, "B01": 60}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small guided generator that has learned nothing."""
    folder = tmp_path_factory.mktemp("models") / "guided"
    torch.manual_seed(0)
    spec = describe("tiny-guided", Architecture(name="guided", params={"width": 8, "blocks": 1, "windows": [3, 5]}))
    generator = build(spec)
    with torch.no_grad():
        generator.get_submodule("tail").weight.mul_(0.01)  # type: ignore[union-attr,operator]
    save_checkpoint(folder, spec, generator, "# tiny")
    return folder


def ground(side: int = SIDE) -> NDArray[np.float64]:
    """What all bands see of the ground, in reflectance + 1000."""
    noise = np.random.default_rng(3).normal(size=(side, side))
    return np.asarray(3000 + 2500 * ndimage.gaussian_filter(noise, 1.2, mode="wrap"))


def seen(band: NDArray[np.float64], zoom: int) -> NDArray[np.uint16]:
    """As a sensor of pixels `zoom` times as large sees it, with a contrast of 0.3 at its Nyquist frequency."""
    if zoom == 1:
        return band.astype(np.uint16)
    margin, kernel = zoom * REACH_LR, optics(0.3, zoom)[None].double()
    wide = torch.from_numpy(np.pad(band, margin, mode="symmetric"))[None, None]
    return reduce(wide, [kernel, kernel])[0, 0].numpy().round().astype(np.uint16)


def values() -> dict[str, NDArray[np.uint16]]:
    gains = {"B02": (0.5, 900), "B08": (-0.8, 6000), "B05": (1.2, 100), "B11": (0.7, 500), "B01": (0.4, 1200)}
    return {name: seen(gain * ground() + level, BANDS[name] // 10) for name, (gain, level) in gains.items()}


def upscale(
    source: Path, output: Path, model: Path, **options: object
) -> tuple[dict[str, NDArray[np.uint16]], dict[str, object], list[str]]:
    """The product's bands by name, its item's properties and the receipt's flags."""
    receipt = run_scene(direct_job(str(source), output, model=str(model), block=32, **options), Workers(0))
    assert receipt is not None
    with gdal_env(), rasterio.open(output) as file:
        pixels = dict(zip(file.descriptions, file.read(), strict=True))
    return pixels, json.loads(output.with_suffix(".json").read_text())["properties"], list(receipt.flags)


def test_a_safe_folder_gets_all_bands_on_one_grid(tmp_path: Path, model: Path) -> None:
    safe = make_safe(tmp_path, BANDS, values=values(), scl=False)
    whole, item, flags = upscale(safe, tmp_path / "whole.tif", model)
    tiled, _, _ = upscale(safe, tmp_path / "tiled.tif", model, tile=32)
    assert_same(whole, tiled)
    assert {band.shape for band in whole.values()} == {(SIDE, SIDE)}
    np.testing.assert_array_equal(whole["B02"], values()["B02"])
    np.testing.assert_array_equal(whole["B08"], values()["B08"])
    assert_same({"B05": whole["B05"]}, {"B05": expected(model, "B05")})
    assert (item["srcore:guided"], item["srcore:guides"]) == (["B05", "B11"], ["B02", "B08"])
    assert "B05, B11: 20 m brought to 10 m with B02, B08 as guides, which stay as they are" in flags
    assert "B01: 60 m brought to 10 m with the detail of B02, B08, by regression alone" in flags
    assert item["srcore:injected"] == ["B01"]
    truth = 1.2 * ground() + 100
    cubic = enlarged(values()["B05"], 2)
    inner = slice(8, -8), slice(8, -8)
    assert np.std((whole["B05"] - truth)[inner]) < 0.6 * np.std((cubic - truth)[inner])
    checks = {one["id"]: one for one in json.loads((tmp_path / "whole.report.json").read_text())["checks"]}
    assert checks["values.copied"]["value"] == 0
    assert checks["consistency.ratio"]["state"] == "measured"
    assert "sensor's view" in checks["consistency.ratio"]["basis"]
    assert checks["registration.shift"]["state"] == "measured"


def assert_same(whole: dict[str, NDArray[np.uint16]], tiled: dict[str, NDArray[np.uint16]]) -> None:
    """To 1e-6 in float32, of which rounding to whole numbers makes 1 where half of one is left."""
    for name in whole:
        off = np.abs(whole[name].astype(int) - tiled[name])
        assert off.max() <= (1 if name in ("B05", "B11") else 0)
        assert np.count_nonzero(off) <= 5


def expected(model: Path, name: str) -> NDArray[np.uint16]:
    """What the generator gives for one band of the whole scene, written out."""
    made = values()
    _, generator = load_generator(model)
    assert isinstance(generator, Guided)
    lr = made[name].repeat(2, 0).repeat(2, 1)
    stack = [lr, made["B02"], made["B08"]]
    normalisation = percentile_normalisation(stack)
    numbers = normalisation.apply(np.stack(stack))
    halo = generator.halo
    wide = np.pad(numbers, [(0, 0), (halo, halo), (halo, halo)], mode="symmetric")
    with torch.inference_mode():
        found = generator(torch.from_numpy(wide)[None])[0].numpy().astype(np.float64)
    return np.rint(found[0] * normalisation.scale[0] + normalisation.offset[0]).astype(np.uint16)


def test_a_window_has_the_pixels_of_the_whole(tmp_path: Path, model: Path) -> None:
    safe = make_safe(tmp_path, BANDS, values=values(), scl=False)
    whole, _, _ = upscale(safe, tmp_path / "whole.tif", model)
    part, _, flags = upscale(safe, tmp_path / "part.tif", model, window=WindowWish(pixels=(31, 21, 40, 50)))
    assert_same({name: band[20:72, 30:72] for name, band in whole.items()}, part)
    assert "the window is widened to multiples of 2 px: the model works on such a grid" in flags


def test_where_a_guide_is_hidden_the_band_is_interpolated(tmp_path: Path, model: Path) -> None:
    made = values()
    made["B08"][30:50, 40:80] = 0
    made["B05"][50:, :10] = 0
    safe = make_safe(tmp_path, BANDS, values=made, scl=False)
    whole, _, flags = upscale(safe, tmp_path / "whole.tif", model)
    tiled, _, _ = upscale(safe, tmp_path / "tiled.tif", model, tile=32)
    assert_same(whole, tiled)
    assert not whole["B08"][30:50, 40:80].any()
    assert not whole["B05"][100:, :20].any()
    assert (whole["B05"][30:50, 40:80] > 0).all()
    assert (whole["B11"][100:, :20] > 0).all()
    np.testing.assert_allclose(whole["B05"][32:48, 44:76], enlarged(made["B05"], 2)[32:48, 44:76], atol=1)
    assert "B05, B11: a guide is hidden in 5.56 % of the pixels, which are interpolated there" in flags


def landsat_values() -> dict[str, NDArray[np.uint16]]:
    """Of a ground of 7.5 m pixels: bands of 30 m, and the panchromatic one half a pixel of 15 m inside."""
    fine = ground(480)
    pan = ndimage.uniform_filter(fine, 2, mode="nearest")[1:, 1:]  # means of 15 m whose centres are corners of 7.5 m
    return {
        **{band: seen((0.3 + 0.2 * int(band)) * fine + 800, 4) for band in "234"},
        "8": (0.6 * pan[1::2, 1::2] + 500).astype(np.uint16)[:239, :239],
    }


def test_a_landsat_folder_gets_its_bands_at_15_m(tmp_path: Path, model: Path) -> None:
    made = landsat_values()
    assert made["8"].shape == (239, 239)
    folder = make_landsat(tmp_path / "in", values=made)
    (folder / "LC09_L2SP_190028_20240601_20240602_02_T1_QA_PIXEL.TIF").unlink()
    found, item, flags = upscale(folder, tmp_path / "out.tif", model)
    assert [band.shape for band in found.values()] == [(240, 240)] * 4
    with gdal_env(), rasterio.open(tmp_path / "out.tif") as product:
        assert product.res == (15, 15)
        assert (product.transform.c, product.transform.f) == CORNER
        assert product.descriptions == ("B2", "B3", "B4", "B8")
    assert item["srcore:guides"] == ["B8"]
    assert any(flag.startswith("B8: moved by half a pixel") for flag in flags)
    assert any(flag.startswith("the guides lie within 0.0") for flag in flags)
    true = 0.6 * ground(480).reshape(240, 2, 240, 2).mean(axis=(1, 3))[8:-8, 8:-8] + 500
    assert np.std(found["B8"][8:-8, 8:-8] - true) < 0.2 * np.std(true)
    plain, _, _ = upscale(folder, tmp_path / "plain.tif", Path("nearest-x2"))
    assert [*plain] == ["B2", "B3", "B4"]  # without guides the panchromatic band is left out, as it was


def test_guides_of_another_place_are_refused(tmp_path: Path, model: Path) -> None:
    made = values()
    made["B08"] = np.roll(made["B08"], 3, axis=1)
    safe = make_safe(tmp_path, BANDS, values=made, scl=False)
    with pytest.raises(SourceError) as refused:
        upscale(safe, tmp_path / "out.tif", model)
    assert refused.value.code == "NOT_REGISTERED"
    assert "B08 " in str(refused.value)
    assert "B02" not in str(refused.value).partition("found")[2].partition("pixels")[0]
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("bands", ["B02,B08", "B05,B11", "B02,B01"])
def test_bands_of_one_resolution_have_no_guides(tmp_path: Path, model: Path, bands: str) -> None:
    safe = make_safe(tmp_path, BANDS, values=values(), scl=False)
    with pytest.raises(PlanError) as refused:
        upscale(safe, tmp_path / "out.tif", model, bands=tuple(bands.split(",")))
    assert refused.value.code == "NO_GUIDES"


def test_a_plain_raster_has_no_guides_and_back_projection_is_another_models(tmp_path: Path, model: Path) -> None:
    plain = write(tmp_path / "plain.tif", np.stack([values()["B02"], values()["B08"]]), 10)
    with pytest.raises(PlanError) as refused:
        upscale(plain, tmp_path / "out.tif", model)
    assert refused.value.code == "NO_GUIDES"
    safe = make_safe(tmp_path, BANDS, values=values(), scl=False)
    with pytest.raises(PlanError) as refused:
        upscale(safe, tmp_path / "out.tif", model, back_projection=2)
    assert refused.value.code == "BAD_SETTING"


CATALOG = """\
version: 1
store: ./store
datasets:
  s2:
    kind: raster
    source: ./in/*.SAFE
    bands: [B02, B05, nir]
    model: {model}
    products: [cog, stac]
    quality: {{layer: SCL, as: nodata}}
"""


def test_a_night_of_a_catalog_is_up_to_date_afterwards(tmp_path: Path, model: Path) -> None:
    made = values()
    safe = make_safe(tmp_path / "in", BANDS, values=made, scl=False)
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(CATALOG.format(model=model).replace("    quality: {layer: SCL, as: nodata}\n", ""))
    [outcome] = run_dataset(catalog, "s2", lambda job: run_scene(job, Workers(0)))
    assert (outcome.result, outcome.receipt is not None) == ("published", True)
    assert outcome.receipt is not None
    assert outcome.receipt.parameters["guided"] == ["B05"]
    assert outcome.receipt.parameters["guides"] == ["B02", "B08"]
    assert outcome.receipt.parameters["back_projection"] == 0
    [state] = scene_states(load_catalog(catalog), "s2")
    assert state.state == "published"
    write(next(safe.rglob("*_B08_10m.jp2")), made["B08"] + np.uint16(1), 10)
    assert [one.reason for one in scene_states(load_catalog(catalog), "s2")] == ["the source changed"]
