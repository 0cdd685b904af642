"""Checks of a volume whose slices are made finer, where yardsticks of rows and columns say nothing."""
