"""The drawn SAFE folders: the catalog takes them for Sentinel-2 products, and their numbers are what was drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import rasterio

from srcore.samples import make_safes
from srcore.samples.safe import DAYS, OFFSET, SIDE
from srcore.storage.providers.sentinel2 import find_document, read_granule


def test_the_products_are_read_as_those_of_copernicus(tmp_path: Path) -> None:
    paths = make_safes(tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [path.name for path in paths] == [f"{day.name}.SAFE" for day in DAYS]
    for path, day in zip(paths, DAYS, strict=True):
        document = find_document(path)
        assert document is not None
        granule = read_granule(document)
        assert (granule.product, granule.id, granule.missing, granule.flags) == ("Sentinel-2 L2A", day.name, (), ())
        assert [band.name for band in granule.bands] == ["B02", "B03", "B04", "B08"]
        assert {(band.scale, band.offset) for band in granule.bands} == {(1e-4, -0.1)}
        assert granule.taken is not None
        assert re.sub("[-:]", "", granule.taken.first)[:15] == day.sensed
        with rasterio.open(granule.bands[3].path) as near, rasterio.open(granule.layers["SCL"][0]) as scl:
            assert (near.shape, scl.shape) == ((SIDE, SIDE), (SIDE // 2, SIDE // 2))
            assert (near.bounds, near.crs.to_epsg()) == (scl.bounds, 32632)
            values, classes = near.read(1), scl.read(1)
        assert values.min() > OFFSET
        assert abs((classes == 9).mean() - day.clouds) < 0.01
        if day.clouds:  # clouds are bright, where the layer says that they are
            cloudy = (classes == 9).repeat(2, 0).repeat(2, 1)
            assert values[cloudy].mean() > values[~cloudy].mean() + 2000
    make_safes(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first
    assert np.unique(values).size > 500
