"""The form of an EDSR for CUDA, as far as a CPU can tell: the same numbers from filled channels and moved biases."""

from __future__ import annotations

import pytest
import torch

from srcore.engine.cuda import Aligned
from srcore.models import Edsr
from srcore.models.mixed import Deep, Mixed


@pytest.mark.parametrize(("dtype", "differs"), [(torch.float32, 5e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(
    ("generator", "channels"),
    [(Edsr(2, 48, 2, bias=False), 64), (Edsr(2, 64, 3, bias=True), 64), (Edsr(4, 24, 1, bias=True), None)],
)
def test_filled_channels_and_moved_biases_change_no_number(
    generator: Edsr, channels: int | None, dtype: torch.dtype, differs: float
) -> None:
    torch.manual_seed(3)
    for weight in generator.parameters():  # biases that matter
        torch.nn.init.normal_(weight, std=0.06 if weight.ndim > 1 else 0.3)
    mixed = Mixed(generator.eval(), dtype).eval()
    x = torch.rand(2, 1, 40, 44)
    with torch.inference_mode():
        expected = mixed(x)
        assert isinstance(mixed.deep, Deep)
        mixed.deep = aligned = Aligned(mixed.deep)
        found = mixed(x)
    assert aligned.head.out_channels == (channels or (32 if dtype == torch.float32 else 64))
    span = float(expected.max() - expected.min())
    assert float((found - expected).abs().max()) < differs * span
    assert float(expected.std()) > 0.1
