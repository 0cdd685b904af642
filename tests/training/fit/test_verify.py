"""The precision of a trained checkpoint is what the numerics gate found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srcore.checkpoints import Architecture, read_spec
from srcore.engine import gate
from srcore.training.fit.verify import write_precision
from srcore.weights import build, describe, save_checkpoint


@pytest.mark.parametrize(("limit", "precision"), [(1.5, "bfloat16"), (0.0, "float32")])
def test_what_passes_the_gate_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, precision: str
) -> None:
    torch.manual_seed(0)
    spec = describe("tiny", Architecture(name="edsr", params={"width": 4, "blocks": 1}))
    generator = build(spec)
    torch.nn.init.normal_(generator.tail.weight, std=0.05)  # type: ignore[union-attr, arg-type]
    save_checkpoint(tmp_path, spec, generator, "card")
    monkeypatch.setitem(gate.LIMITS, "bfloat16", (limit, 100.0))
    assert write_precision(tmp_path).precision == precision == read_spec(tmp_path).precision
    assert (tmp_path / "README.md").read_text() == "card"
