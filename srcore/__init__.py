"""srcore: super-resolution of large rasters and volumes, from an archive to published products."""
