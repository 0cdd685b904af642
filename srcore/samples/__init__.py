"""Scenes that the project draws itself, so that it can be tried, tested and measured without any data."""

from srcore.samples.archive import CATALOG, SAMPLES, Sample, make_archive, make_large, make_phantom, write_catalog
from srcore.samples.safe import make_safes

__all__ = ["CATALOG", "SAMPLES", "Sample", "make_archive", "make_large", "make_phantom", "make_safes", "write_catalog"]
