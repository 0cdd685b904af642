"""The product once more as Zarr 3, in one file: a raster as xarray reads it, a volume as viewers do (OME-Zarr, `ome`).

    COG, read back --> a variable a band, x and y at pixel centres, spatial_ref --> ZIP without compression

CF says where it lies (grid mapping), GeoZarr says it again (`proj:`, `spatial:`), and each overview of the COG is a
group of its own that `multiscales` names. One file, because a product is published, hashed, copied and removed by
files.
"""

from pathlib import Path

from srcore.storage.cube import ome, verify, write
from srcore.storage.header import Header

__all__ = ["verify_cube", "write_cube"]


def write_cube(target: Path, product: Path, header: Header) -> None:
    """Write a product, read back, as Zarr 3 to `target`; `header` is that of its LR.

    StoreError, with DISK_FULL where that is why.
    """
    (write.write_cube if header.kind == "raster" else ome.write_ome)(target, product, header)


def verify_cube(target: Path, product: Path, header: Header) -> None:
    """StoreError VERIFY_FAILED unless the Zarr holds the pixels of the product, all levels."""
    (verify.verify_cube if header.kind == "raster" else ome.verify_ome)(target, product, header)
