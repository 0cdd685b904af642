"""What a generator is worth: scores, comparisons, calibration."""
