"""Training and evaluation of generators."""
