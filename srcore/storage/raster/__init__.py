"""Rasters as they come in: GDAL behind one door."""
