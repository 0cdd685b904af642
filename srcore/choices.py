"""What a user may choose: names and ranges, the same on the command line, in the catalog and in Python.

Numbers and words only, so that `srcore --help` knows them without numpy or torch.
"""

from __future__ import annotations

from typing import Literal, get_args

AlphaRule = Literal["auto", "mask", "data"]
"""What a band that is called alpha means: by its values, a mask of the others, or data like any other."""
ALPHA_RULES: tuple[AlphaRule, ...] = get_args(AlphaRule)
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")
BACKENDS = ("auto", "eager", "fused", "compile", "openvino", "graphs")
"""What `srcore.engine.backends` knows, and auto."""
BACK_PROJECTION, MAX_BACK_PROJECTION = 1, 4
"""Steps after the generator, by default and at most; docs/decisions.md, 15, says what each costs and gives."""
MAX_DENOISE, MAX_SHARPEN = 4.0, 16.0
"""Far beyond what helps anywhere (docs/quality.md)."""
