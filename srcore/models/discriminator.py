"""The critic of adversarial training. It sees patches and is never saved with a model."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Logits (N, 1, y, x) of a patch (N, B, Y, X), one for each piece of 46 x 46 pixels (Isola et al. 2017).

    Strided convolutions with spectral normalisation (Miyato et al. 2018, arXiv:1802.05957). A logit a piece instead
    of one a patch: on few images a critic of whole patches learns them by heart.
    """

    def __init__(self, bands: int = 1, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = [nn.Conv2d(bands, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
