"""srcore from Python, cell by cell: a path, a DataArray, lazily with Dask, and bare arrays.

Runs as a script or, in an editor that knows `# %%`, as a notebook; needs `pip install 'srcore[xarray]'`. It writes a
small landscape and its product into the folder in which it is run.
"""

# %% A scene to play with: 160 x 160 pixels of two bands, uint16, nodata 0 around it.
from pathlib import Path

import numpy as np
import rioxarray

import srcore
from srcore.samples import make_large

make_large(Path("scene.tif"), side=160)

# %% A path gives a published product: what `srcore upscale scene.tif scene-sr.tif` does, and an object that knows it.
product = srcore.upscale("scene.tif", "scene-sr.tif", model="srcore-x2-fast", overwrite=True)
print(product)
for check in product.warnings:
    print(check.id, check.value, check.limit, check.hint)

# %% The same checks for any pair of files.
report = srcore.validate(product, "scene.tif")
print(report.verdict, len(report.checks))

# %% A DataArray gives a DataArray: no files, the same pixels, everything in its place.
lr = rioxarray.open_rasterio("scene.tif")
sr = srcore.upscale(lr, model="srcore-x2-fast")
print(sr.rio.resolution(), sr.rio.crs.to_epsg(), sr.rio.nodata, sr.attrs["long_name"])
assert np.array_equal(sr, rioxarray.open_rasterio(product.data))

# %% In chunks it stays lazy: read once for the normalisation, then a tile is computed when it is asked for.
lazy = srcore.upscale(rioxarray.open_rasterio("scene.tif", chunks={"x": 64, "y": 64}), model="srcore-x2-fast")
corner = lazy.isel(x=slice(0, 100), y=slice(0, 100)).compute()
assert corner.equals(sr.isel(x=slice(0, 100), y=slice(0, 100)))

# %% Bare arrays: NumPy or torch, channels first.
finer = srcore.super_resolve(lr.values, model="srcore-x2-fast", nodata=0)
assert np.array_equal(finer, sr)
print(srcore.open_engine("srcore-x2-fast").spec.name, finer.shape, finer.dtype)
