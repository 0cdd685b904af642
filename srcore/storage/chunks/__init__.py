"""Zarr arrays of the work store, and their chunks as the bytes they are."""
