"""int8 by NNCF, after training: the only module that imports it. Head and tail stay in bfloat16."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import CheckpointError

KEPT = (r".*\bhead\b.*", r".*\btail\b.*")
"""Layers that stay in bfloat16: the input's hi and lo parts, and the last sum, have no use for 8 bits."""


def quantise_deep(model: Any, samples: Sequence[NDArray[np.float32]]) -> Any:
    """The OpenVINO graph of a `Deep` with its blocks in int8, calibrated on inputs (1, P, Y, X)."""
    if not samples:
        raise CheckpointError("int8 needs tiles to be calibrated on", "none", "give real tiles", code="NO_BACKEND")
    with _silent():
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(list(samples)),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(patterns=list(KEPT), types=["Add"]),
        )


@contextmanager
def _silent() -> Iterator[None]:
    """NNCF reports each use to its makers unless it is imported as in a test run of its own."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        with redirect_stdout(StringIO()):  # it draws bars, and stdout may be a document
            yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before
