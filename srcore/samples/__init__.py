"""Scenes that the project draws itself, so that it can be tried, tested and measured without any data."""

from srcore.samples.archive import SAMPLES, Sample, make_archive, make_large

__all__ = ["SAMPLES", "Sample", "make_archive", "make_large"]
