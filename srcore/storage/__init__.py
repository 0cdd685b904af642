"""The only code that touches Zarr, GDAL, NIfTI, STAC and files."""
