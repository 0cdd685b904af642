"""The generators that learn nothing: the floor of every comparison, and the null generator."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from srcore.models.blocks import CubicUpsample
from srcore.models.generator import Generator


class Bicubic(Generator):
    """Cubic convolution alone: the floor that every trained generator must beat."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.halo = scale, CubicUpsample.margin_px
        self.base = CubicUpsample(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x)  # type: ignore[no-any-return]


class Nearest(Generator):
    """Every LR pixel repeated: the null generator, for measuring the pipeline itself."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.halo = scale, 0

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=self.scale, mode="nearest")
