"""Scenes that the project draws itself, so that it can be tried, tested and measured without any data."""

from srcore.samples.archive import CATALOG, SAMPLES, Sample, make_archive, make_large, make_phantom, write_catalog

__all__ = ["CATALOG", "SAMPLES", "Sample", "make_archive", "make_large", "make_phantom", "write_catalog"]
