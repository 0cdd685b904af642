"""Guided super-resolution: one coarse band brought to the grid of any number of finer guides of the same scene.

    LR band, each pixel repeated --every zoom-th--> lr ------------------- cubic -----------------> U ----+
                                                    |                                                     |
                                            regressed in windows                                          |
                                                    |                                                     |
    guides --optics--> what the LR's sensor sees of them --+--> weights x details of the guides --> D ----+--> SR
       |                                                   |                                              |
       +------------------- minus, enlarged ---------------+--> F(D, U, the regression's fit) ------------+

The detail of the guides is what the LR's sensor cannot see of them; how much of each guide's belongs to the band is
found around every pixel by least squares (as in He et al. 2013, "Guided image filtering", and the context-based
MTF-GLP of Aiazzi et al. 2006). So the network F sees no guide but what they say together of the band: any band goes
with any guides, in any order. Without biases F(a x) = a F(x), and a flat band stays flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.backprojection import linear_up
from srcore.models.blocks import CubicUpsample, ResidualBlock, centre_crop
from srcore.models.generator import Generator

MTF = 0.3
"""Contrast at its Nyquist frequency that is taken for a sensor: most of Sentinel-2 and Landsat have 0.2 to 0.4."""
OPTICS_PX = 2
"""LR pixels on each side that a sensor's kernel reaches."""
RIDGE = 1e-2
"""Part of the guides' own variance that is added to it: guides that say the same share the weight."""
SMALLEST = 1e-8
"""Variance, in network values, below which a guide is flat."""


class Guided(Generator):
    """(N, 1 + G, Y + 2 halo, X + 2 halo) in, the LR band with repeated pixels first; (N, 1, Y, X) out.

    Input and output lie on the guides' grid. `windows` are the sides, in LR pixels, in which weights are found; `mtf`
    is the contrast that is taken for the LR's sensor at its Nyquist frequency.
    """

    scale = 1

    def __init__(
        self,
        zoom: int = 2,
        width: int = 48,
        blocks: int = 3,
        windows: Sequence[int] = (5, 11),
        mtf: float = MTF,
    ) -> None:
        super().__init__()
        if zoom < 2 or len(windows) == 0 or any(side % 2 == 0 for side in windows) or not 0 < mtf < 1:
            raise ValueError("zoom from 2 up, one or more odd windows and an mtf between 0 and 1 are needed")
        self.zoom = self.core_multiple = zoom
        self.windows = tuple(windows)
        self.bands = 3  # what it is probed with; any number from 2 up goes
        self.base = CubicUpsample(zoom)
        self.register_buffer("optics", optics(mtf, zoom), persistent=False)
        channels = (1 + 2 * len(windows)) * zoom**2
        self.head = nn.Conv2d(channels, width, 3, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(width, bias=False) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, zoom**2, 3, bias=False)
        self.deep_px = 2 + ResidualBlock.margin_px * blocks
        self.found_px = OPTICS_PX + max(windows) // 2 + 1  # where D is known: the kernel, the window, the way up
        self.halo = (self.found_px + self.deep_px) * zoom

    def forward(self, x: Tensor) -> Tensor:
        plain, found = self._without_learning(x.float())
        deep = functional.pixel_unshuffle(found, self.zoom)  # (N, C zoom^2, Y / zoom + 2 deep_px, ...)
        features = self.head(deep.to(self.head.weight.dtype))
        added = functional.pixel_shuffle(self.tail(self.body(features)), self.zoom)
        return centre_crop(plain, self.deep_px * self.zoom) + added.float()

    def _without_learning(self, x: Tensor) -> tuple[Tensor, Tensor]:
        device = x.device.type
        with torch.no_grad():
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                with torch.autocast(device, enabled=False):  # bfloat16 steps by 20 DN in 16 bits
                    return self.classical(x)
            return self.classical(x)

    def classical(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, ...) U + D of the smallest window, and (N, 1 + 2 windows, ...): for each its D and its fit, then U;
        fits and U without their mean around. Both without found_px LR pixels on each side."""
        lr, guides = x[:, :1, :: self.zoom, :: self.zoom], x[:, 1:]
        coarse = self._seen(guides)  # (N, G, ...) on the LR grid, without OPTICS_PX
        lr = centre_crop(lr, OPTICS_PX)
        wide = max(self.windows) // 2
        inner = self.found_px - OPTICS_PX  # LR pixels between the kernel's reach and what is given
        fine = centre_crop(guides, self.found_px * self.zoom)
        detail = fine - self._up(coarse, inner)
        upper = self._up(lr, inner)
        level = linear_up(_mean(lr, 2 * wide + 1), (self.zoom, self.zoom))
        parts: list[Tensor] = []
        for side in self.windows:
            weights, base = regressed(lr, coarse, side)
            cut = wide - side // 2
            weights, base = (linear_up(centre_crop(v, cut), (self.zoom,) * 2) for v in (weights, base))
            d = (weights * detail).sum(1, keepdim=True)
            fit = base + (weights * (fine - detail)).sum(1, keepdim=True)
            parts += [d, fit - level]
        return upper + parts[0], torch.cat([*parts, upper - level], 1)

    def _up(self, coarse: Tensor, margin_px: int) -> Tensor:
        """Cubic, without margin_px LR pixels of the input."""
        up: Tensor = self.base(centre_crop(coarse, margin_px - self.base.margin_px))
        return up

    def _seen(self, guides: Tensor) -> Tensor:
        """What a sensor of the LR's optics and pixels sees of the guides."""
        count, bands = guides.shape[:2]
        kernel: Tensor = self.optics  # type: ignore[assignment]
        one = guides.reshape(count * bands, 1, *guides.shape[2:])
        one = functional.conv2d(one, kernel[None, None, :, None], stride=(self.zoom, 1))
        one = functional.conv2d(one, kernel[None, None, None, :], stride=(1, self.zoom))
        return one.reshape(count, bands, *one.shape[2:])


def optics(mtf: float, zoom: int) -> Tensor:
    """Gaussian (taps,) of sum 1 on the fine grid; its contrast at the Nyquist frequency of the coarse one is `mtf`."""
    taps = (2 * OPTICS_PX + 1) * zoom
    distance = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / zoom
    sigma = math.sqrt(-2 * math.log(mtf)) / math.pi
    weight = torch.exp(-distance.square() / (2 * sigma**2))
    return (weight / weight.sum()).float()


def _mean(x: Tensor, side: int) -> Tensor:
    """Mean over side x side pixels (..., Y - side + 1, ...), a column and a row: the same bits wherever a tile lies."""
    return functional.avg_pool2d(functional.avg_pool2d(x, (side, 1), 1), (1, side), 1)


def regressed(lr: Tensor, guides: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Weights (N, G, ...) and base (N, 1, ...) of lr = base + sum of weights x guides: least squares in each window.

    `lr` (N, 1, Y, X) and `guides` (N, G, Y, X) give (Y - side + 1, X - side + 1).
    """
    lr, guides = lr.double(), guides.double()  # variances are small differences of large numbers
    count = guides.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(i + 1)]
    products = torch.cat([*(guides[:, i : i + 1] * guides[:, j : j + 1] for i, j in pairs), lr * guides], 1)
    mean = _mean(torch.cat([lr, guides, products], 1), side)
    own, means = mean[:, :1], mean[:, 1 : 1 + count]
    square = {
        pair: mean[:, [1 + count + k]] - means[:, [pair[0]]] * means[:, [pair[1]]] for k, pair in enumerate(pairs)
    }
    shared = mean[:, 1 + count + len(pairs) :] - own * means
    ridge = RIDGE * torch.cat([square[i, i] for i in range(count)], 1).mean(1, keepdim=True).clamp_min(0) + SMALLEST
    weights = _solved(square, [shared[:, [i]] for i in range(count)], ridge)
    return weights.float(), (own - (weights * means).sum(1, keepdim=True)).float()


def _solved(square: dict[tuple[int, int], Tensor], shared: Sequence[Tensor], ridge: Tensor) -> Tensor:
    """x of (A + ridge) x = shared at every pixel, by Cholesky written out: no library call that a pixel could fail."""
    count = len(shared)
    low: dict[tuple[int, int], Tensor] = {}
    for i in range(count):
        for j in range(i + 1):
            rest = square[i, j] - sum((low[i, k] * low[j, k] for k in range(j)), torch.zeros_like(ridge))
            low[i, j] = rest / low[j, j] if i > j else (rest + ridge).clamp_min(SMALLEST).sqrt()
    y: list[Tensor] = []
    for i in range(count):
        y.append((shared[i] - sum((low[i, k] * y[k] for k in range(i)), torch.zeros_like(ridge))) / low[i, i])
    x: dict[int, Tensor] = {}
    for i in reversed(range(count)):
        behind = sum((low[k, i] * x[k] for k in range(i + 1, count)), torch.zeros_like(ridge))
        x[i] = (y[i] - behind) / low[i, i]
    return torch.cat([x[i] for i in range(count)], 1)
