"""The map of a dataset: outlines of its products, and tiles of one of them beside its LR; made when it is asked for."""
