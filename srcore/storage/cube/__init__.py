"""The product once more as Zarr 3, as xarray reads it: one file, SCENE.zarr.zip.

    COG, read back --> a variable a band, x and y at pixel centres, spatial_ref --> ZIP without compression

CF says where it lies (grid mapping), GeoZarr says it again (`proj:`, `spatial:`), and each overview of the COG is a
group of its own that `multiscales` names. One file, because a product is published, hashed, copied and removed by
files.
"""

from srcore.storage.cube.verify import verify_cube
from srcore.storage.cube.write import write_cube

__all__ = ["verify_cube", "write_cube"]
