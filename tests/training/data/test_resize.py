"""imresize: laws of the two directions."""

from __future__ import annotations

import pytest
import torch

from srcore.models import Bicubic
from srcore.training.data.resize import MARGIN_LR, enlarge, shrink


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_constant_stays_and_a_ramp_stays_a_ramp(scale: int) -> None:
    ramp = torch.arange(24 * scale, dtype=torch.float64).expand(1, 1, 24 * scale, -1)
    inner = shrink(ramp, scale)[0, 0, 12, 4:-4]
    centres = scale * torch.arange(4, 20, dtype=torch.float64) + (scale - 1) / 2
    torch.testing.assert_close(inner, centres)
    flat = torch.full((2, 1, 8 * scale, 8 * scale), 7.0)
    torch.testing.assert_close(enlarge(shrink(flat, scale), scale), flat)


def test_a_cut_patch_shrinks_as_the_whole_image_does_inside_the_margin() -> None:
    image = torch.rand(1, 1, 80, 80, dtype=torch.float64)
    whole = shrink(image, 2)[..., 10:30, 10:30]
    cut = shrink(image[..., 20:60, 20:60], 2)
    inner = slice(MARGIN_LR, -MARGIN_LR)
    torch.testing.assert_close(cut[..., inner, inner], whole[..., inner, inner], atol=1e-12, rtol=0)
    assert not torch.allclose(cut, whole)


def test_symmetric_edges_hold_even_when_the_image_is_smaller_than_the_pad() -> None:
    tiny = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(shrink(enlarge(tiny, 2), 2).mean(), tiny.mean(), atol=0.05, rtol=0)


def test_enlarging_is_the_cubic_base_of_the_generators() -> None:
    lr = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(enlarge(lr, 2)[..., 4:-4, 4:-4], Bicubic(2)(lr), atol=1e-5, rtol=0)
