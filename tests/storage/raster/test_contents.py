"""What a raster's numbers are, by its words, its names and a look, and as the user says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srcore.errors import SourceError
from srcore.storage.header import Header
from srcore.storage.raster.header import read_raster_header
from srcore.treatment import Treatment
from tests.storage.test_meaning import angles, patches

CLASSES = np.array([1, 4, 5, 6, 9], np.uint8)[patches(5)][None]


def one(path: Path, **wishes: object) -> tuple[str, tuple[float | None, float | None]]:
    band = read_raster_header([path], **wishes).bands[0]
    return band.values, band.valid_range


def test_a_look_and_names(write_raster, landscape) -> None:
    image = landscape(1, (128, 128), "uint16")
    assert one(write_raster(CLASSES)) == ("categorical", (None, None))
    assert one(write_raster(image, "scene_mask.tif"))[0] == "continuous"  # a name alone does not decide
    assert one(write_raster(angles(360, 0)[None], "a.tif"))[0] == "circular"
    many = (patches(120) * 13 % 256).astype(np.uint8)[None]
    assert one(write_raster(many, "plain.tif"))[0] == "continuous"
    assert one(write_raster(many, "lulc_2020.tif"))[0] == "categorical"
    named = write_raster(image, "named.tif")
    with rasterio.open(named, "r+") as target:
        target.descriptions = ("QA_PIXEL",)
    assert one(named)[0] == "bits"


def test_a_hidden_number_is_no_class(write_raster, landscape) -> None:
    image = landscape(1, (128, 128), "float32")
    image[:, :, :80] = -9999
    assert one(write_raster(image, nodata=-9999))[0] == "continuous"
    assert one(write_raster(np.where(np.arange(128) < 80, 0, CLASSES), "b.tif", nodata=0))[0] == "categorical"


@pytest.mark.parametrize("how", ["tag", "band tag", "names", "colours", "table", "one bit"])
def test_words_of_the_file(write_raster, landscape, how: str) -> None:
    image = landscape(1, (40, 50), "uint8")
    path = write_raster(image % 2 if how == "one bit" else image, **({"nbits": 1} if how == "one bit" else {}))
    inside = {
        "names": "<CategoryNames><Category>sea</Category></CategoryNames>",
        "colours": '<ColorTable><Entry c1="1" c2="2" c3="3" c4="255"/></ColorTable>',
        "table": '<GDALRasterAttributeTable tableType="thematic"/>',
    }
    if how in inside:
        words = f'<PAMDataset><PAMRasterBand band="1">{inside[how]}</PAMRasterBand></PAMDataset>'
        Path(f"{path}.aux.xml").write_text(words)
    elif how != "one bit":
        with rasterio.open(path, "r+") as target:
            target.update_tags(*([1] if how == "band tag" else []), LAYER_TYPE="thematic")
    assert one(path)[0] == "categorical"
    if how != "one bit":  # GDAL gives that a table of black and white
        assert one(path, values="continuous")[0] == "continuous"


def test_fewer_bits_are_a_range(write_raster, landscape) -> None:
    path = write_raster(landscape(1, (40, 50), "uint16") % 4096, nbits=12)
    assert one(path) == ("continuous", (0, 4095))
    assert one(path, valid_range=(100, None)) == ("continuous", (100, 4095))
    assert one(path, valid_range=(-5, 10000)) == ("continuous", (0, 4095))
    assert read_raster_header([path]).ranges == ((0, 4095),)


def test_the_user_says_it_by_band(write_raster, landscape) -> None:
    image = landscape(3, (40, 50), "uint16")
    path = write_raster(image)
    with rasterio.open(path, "r+") as target:
        target.descriptions = ("B4", "QA", "SCL")
    rule = {"QA": "continuous", "1": "bits"}
    header = read_raster_header([path], values=rule, valid_range=(0, 9))
    assert [band.values for band in header.bands] == ["bits", "continuous", "categorical"]
    assert [band.valid_range for band in header.bands] == [(None, None), (0, 9), (None, None)]
    assert header.copied == (True, False, True)
    assert Header.from_json(json.loads(json.dumps(header.to_json()))) == header
    flags = read_raster_header([path]).flags
    assert any(flag.startswith("QA: bits, each SR pixel is the LR pixel") for flag in flags)
    with pytest.raises(SourceError, match="values names a band that is not there: B9") as caught:
        read_raster_header([path], values={"B9": "bits"})
    assert caught.value.code == "BAD_SETTING"


def test_names_of_files_of_one_band_each(write_raster, landscape) -> None:
    image = landscape(1, (40, 50), "uint16")
    paths = [write_raster(image, f"s_{name}.tif") for name in ("B4", "X")]
    header = read_raster_header(paths, bands=["B4", "X"], values={"X": "bits"})
    assert [band.values for band in header.bands] == ["continuous", "bits"]


def test_a_palette_is_kept(write_raster) -> None:
    path = write_raster(CLASSES, photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {number: (number, 2 * number, 7, 255) for number in range(256 // 2)})
    band = read_raster_header([path]).bands[0]
    assert (band.values, band.colour, band.palette[9]) == ("categorical", "palette", (9, 18, 7, 255))
    with pytest.raises(SourceError, match=r"indices of a colour table.*gdal_translate -expand rgb"):
        read_raster_header([path], values="continuous")


def test_several_bands_keep_no_table_of_colours(write_raster, landscape) -> None:
    paths = [write_raster(CLASSES, "a_classes.tif", photometric="palette")]
    with rasterio.open(paths[0], "r+") as target:
        target.write_colormap(1, {number: (number, 0, 0, 255) for number in range(10)})
    paths.append(write_raster(landscape(1, (128, 128), "uint8"), "a_light.tif"))
    header = read_raster_header(paths)
    assert [(band.values, band.palette, band.colour) for band in header.bands] == [
        ("categorical", (), "undefined"),
        ("continuous", (), "gray"),
    ]
    assert "a product of several bands keeps no table of colours" in header.flags


@pytest.mark.parametrize(
    ("treatment", "told"),
    [
        ({"values": "classes"}, "what the numbers are is not known"),
        ({"values": {"SCL": "x"}}, "what the numbers are is not known"),
        ({"valid_range": (1.0, 1.0)}, "the valid range holds no numbers"),
        ({"valid_range": (2.0, 1.0)}, "the valid range holds no numbers"),
    ],
)
def test_bad_wishes(treatment: dict[str, object], told: str) -> None:
    with pytest.raises(Exception, match=told):
        Treatment(**treatment).check()  # type: ignore[arg-type]
