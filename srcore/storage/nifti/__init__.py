"""NIfTI volumes, in and out."""
