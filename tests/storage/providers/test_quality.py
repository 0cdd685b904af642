"""Quality layers: what is meant, where it lies, what share it is, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srcore.choices import QualityWish
from srcore.errors import GridError, SourceError
from srcore.storage.providers.quality import BANDS, BITS, CLASSES, Rule, beside, rule_of
from srcore.storage.scene import read_header
from tests.storage.providers.products import make_landsat, make_safe, pixels, write
from tests.storage.providers.test_products import whole

HLS = "HLS.S30.T32TQM.2024153T103021.v2.0"
PLANET = "20240601_103021_12_2479_3B"


def wish(layer: str = "auto", use_as: str = "nodata", **more: object) -> QualityWish:
    return {"layer": layer, "as_": use_as, **more}  # type: ignore[typeddict-item,typeddict-unknown-key]


def meant_of_scl() -> np.ndarray:
    """On 60 x 60 px: six rows of cloud, a row of cirrus, of 30."""
    hidden = np.zeros((60, 60), bool)
    hidden[:12], hidden[12:14, 6:] = True, True
    hidden[:12, :6] = False  # what was not seen is no cloud
    return hidden


def test_words_are_classes_bits_and_bands() -> None:
    assert rule_of("SCL", None) == Rule(values=(8, 9, 3, 10), fill=0)
    assert rule_of("SCL", ["snow", 6]) == Rule(values=(11, 6), fill=0)
    assert rule_of("QA_PIXEL", ["cloud", "shadow"]) == Rule(bits=0b11000, fill_bit=1)
    assert rule_of("Fmask", None).bits == 0b1011
    assert rule_of("udm2", None).bands == (6, 3)
    assert rule_of("mask.tif", None) == Rule(bands=(1,))
    with pytest.raises(SourceError, match="SCL has no 'fog'"):
        rule_of("SCL", ["fog"])
    for tables in (CLASSES, BITS, BANDS):
        for table in tables.values():
            assert {"cloud", "cirrus", "shadow"} & set(table)


def test_scl_hides_what_is_meant_in_every_band(tmp_path: Path) -> None:
    header = read_header([make_safe(tmp_path)], bands=["B02", "B11"], quality=wish("SCL"))
    values, valid = whole(header)
    np.testing.assert_array_equal(valid, np.stack([~meant_of_scl()] * 2))
    np.testing.assert_array_equal(values[0], pixels(10, 1))
    assert header.nodata == "tag"
    assert header.quality is not None
    assert header.quality.share == pytest.approx((6 * 27 + 27) / (27 * 30))  # of what was seen
    assert header.properties["eo:cloud_cover"] == pytest.approx(100 * header.quality.share, abs=1e-4)
    assert any(flag.startswith("quality layer SCL: 23.3% of what was seen") for flag in header.flags)
    assert header.paths[-1].name.endswith("SCL_20m.jp2")


@pytest.mark.parametrize("use_as", ["band", "flag"])
def test_the_layer_is_a_band_of_classes_or_a_word(tmp_path: Path, use_as: str) -> None:
    header = read_header([make_safe(tmp_path)], bands=["B02"], quality=wish("SCL", use_as))
    values, valid = whole(header)
    assert (header.nodata, header.bands[0].nodata) == ("tag", 0.0)
    assert valid[0].all()
    if use_as == "band":
        assert [(band.name, band.values, band.zoom) for band in header.bands[1:]] == [("SCL", "categorical", 2)]
        assert (values[1][:12, 6:] == 9).all()
        assert not valid[1][:, :6].any()
    else:
        assert len(values) == 1


def test_qa_pixel_is_a_band_of_bits(tmp_path: Path) -> None:
    header = read_header([make_landsat(tmp_path)], quality=wish("QA_PIXEL", "band"))
    assert (header.bands[-1].name, header.bands[-1].values) == ("QA_PIXEL", "bits")
    hidden = read_header([tmp_path], quality=wish())
    assert hidden.quality is not None
    assert hidden.quality.share == pytest.approx(12 / 60)
    assert (~whole(hidden)[1]).sum() == 3 * 12 * 54


@pytest.mark.parametrize("fine", [1, 2])
def test_a_finer_layer_hides_a_pixel_when_any_of_it_is_meant(tmp_path: Path, fine: int) -> None:
    path = write(tmp_path / "scene.tif", pixels(10), 10)
    mask = np.zeros((60 * fine, 60 * fine), np.uint8)
    mask[-1, -1] = mask[0, 0] = 1
    write(tmp_path / "scene_mask.tif", mask, 10 / fine)
    header = read_header([path], quality=wish(str(tmp_path / "{scene}_mask.tif")))
    assert header.nodata == "mask"  # integers without a number
    assert "no nodata" not in header.flags
    valid = whole(header)[1][0]
    assert not valid[0, 0]
    assert not valid[-1, -1]
    assert valid.sum() == 3598


def test_layers_that_lie_beside_a_raster_are_known_by_name(tmp_path: Path) -> None:
    names = {
        f"{HLS}.B04.tif": ("Fmask", f"{HLS}.Fmask.tif"),
        f"{PLANET}_AnalyticMS_SR_clip.tif": ("udm2", f"{PLANET}_udm2_clip.tif"),
        f"{PLANET}_AnalyticMS_SR_8b.tif": ("udm2", f"{PLANET}_udm2.tif"),
        "LC08_L2SP_190028_20240601_20240602_02_T1_SR_B4.TIF": (
            "QA_PIXEL",
            "LC08_L2SP_190028_20240601_20240602_02_T1_QA_PIXEL.TIF",
        ),
    }
    for name, (layer, other) in names.items():
        assert beside(tmp_path / name) is None
        (tmp_path / other).touch()
        assert beside(tmp_path / name) == (layer, tmp_path / other)
    assert beside(tmp_path / "scene.tif") is None


def test_planet_hides_by_the_bands_of_udm2(tmp_path: Path) -> None:
    path = write(tmp_path / f"{PLANET}_AnalyticMS_SR.tif", pixels(10)[None], 3, nodata=0)
    layer = np.zeros((8, 60, 60), np.uint8)
    layer[0], layer[5, :15], layer[1, 30:] = 1, 1, 1
    write(tmp_path / f"{PLANET}_udm2.tif", layer, 3)
    assert whole(read_header([path], quality=wish()))[1].sum() == 45 * 60
    assert whole(read_header([path], quality=wish(use=["snow", "cloud"])))[1].sum() == 15 * 60
    with pytest.raises(SourceError, match="cannot be a band"):
        read_header([path], quality=wish(use_as="band"))


def test_a_scene_under_clouds_is_left_out_with_its_share(tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    assert read_header([safe], quality=wish(use_as="flag", skip_above=0.3)).quality is not None
    with pytest.raises(SourceError, match=r"found 23.3%; at most 20.0% are allowed") as told:
        read_header([safe], quality=wish(use_as="flag", skip_above=0.2))
    assert told.value.code == "CLOUDY"


def test_a_layer_that_does_not_fit_or_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "scene.tif", pixels(10), 10)
    with pytest.raises(SourceError) as told:
        read_header([path], quality=wish())
    assert told.value.code == "NO_QUALITY"
    with pytest.raises(SourceError) as told:
        read_header([make_safe(tmp_path, scl=False)], quality=wish("SCL"))
    assert told.value.code == "NO_QUALITY"
    other = write(tmp_path / "other.tif", np.zeros((20, 20), np.uint8), 37)
    with pytest.raises(GridError, match="another grid"):
        read_header([path], quality=wish(str(other)))
    elsewhere = write(tmp_path / "elsewhere.tif", np.zeros((60, 60), np.uint8), 10, corner=(0.0, 0.0))
    with pytest.raises(GridError, match="another grid"):
        read_header([path], quality=wish(str(elsewhere)))
