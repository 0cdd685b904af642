"""The generators that learn nothing: the floor of every comparison, and the null generator."""

from __future__ import annotations

from collections.abc import Sequence

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


class Cubic(Generator):
    """The same of volumes, with a scale of its own on each axis: (5, 1, 1) makes thick slices thin."""

    axes = 3

    def __init__(self, scale: Sequence[int] = (5, 1, 1)) -> None:
        super().__init__()
        self.sizes = (int(scale[0]), int(scale[1]), int(scale[2]))
        self.scale, self.halo = self.sizes[-1], CubicUpsample.margin_px
        self.base = CubicUpsample(self.sizes)

    @property
    def scales(self) -> tuple[int, ...]:
        return self.sizes

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x)  # type: ignore[no-any-return]


class Nearest(Generator):
    """Every LR pixel repeated: the null generator, for measuring the pipeline itself."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.halo = scale, 0

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=self.scale, mode="nearest")
