"""The raster product: a Cloud Optimized GeoTIFF, assembled from the work store and read back."""
