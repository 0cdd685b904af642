"""Which precision a trained checkpoint holds in: found out at the end of every training, not assumed."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from srcore.checkpoints import Spec, write_spec
from srcore.engine import gate
from srcore.engine.backends import build, installed
from srcore.weights import load_generator

log = logging.getLogger(__name__)


def write_precision(folder: Path) -> Spec:
    """The spec, with bfloat16 written into it where the numerics gate of the engine lets that pass; else float32.

    A run takes what stands there: without it a trained model would run at half the speed of one that ships.
    """
    spec, generator = load_generator(folder)
    where = torch.device("cpu")
    refused = "no backend has bfloat16"
    if "eager" in installed(generator, where, "bfloat16"):
        reference, candidate = (build(generator, "eager", one, where) for one in ("float32", "bfloat16"))
        refused = gate.compare(reference, candidate, where, steps=spec.trained_behind).refused("bfloat16")
    if refused:
        log.warning("%s is to run in float32: %s", spec.name, refused)
    verified = spec.model_copy(update={"precision": "float32" if refused else "bfloat16"})
    write_spec(folder, verified)
    return verified
