"""Scenes that lie in memory, by the functions of the stages: arrays of a notebook, whole images that are judged."""
