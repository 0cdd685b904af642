"""A night of very many scenes: a model of measured units, where it breaks first, and a simulation of it."""
