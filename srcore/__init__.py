"""srcore: super-resolution of large rasters and volumes, from an archive to published products."""

__version__ = "0.1.0"
