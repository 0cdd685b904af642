"""Pairs of HR and LR: found, laid on nested grids, checked by their numbers, and kept or refused with figures."""
