"""LPIPS, where the true HR is known and the `lpips` package and its AlexNet are there (R. Zhang et al., CVPR 2018).

Neither comes with srcore: the package needs torchvision, and its network 230 MB that it would fetch by itself. A run
never asks the network for anything, so without them the check says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.patches import Patch
from srcore.limits import Limit

ALEXNET = "alexnet-owt-7be5be79.pth"
"""As torchvision names it in its cache."""
SMALLEST_PX = 64
"""AlexNet's strides leave nothing of a smaller image."""


def lpips_checks(patches: Sequence[Patch], limits: Mapping[str, Limit]) -> list[Check]:
    """Mean LPIPS of SR and of bicubic over the patches whose true HR is known; nothing where there is none."""
    pairs = [(patch, patch.hr) for patch in patches if patch.hr is not None and min(patch.hr.shape[1:]) >= SMALLEST_PX]
    if not pairs:
        return []
    missing = _missing() if all(np.isfinite(patch.sr).all() for patch, _ in pairs) else "the SR has NaN or Inf"
    if missing:
        return [abstain("reference.lpips", missing)]
    rows = [[distance(image, hr) for image in (patch.sr, patch.bicubic)] for patch, hr in pairs]
    ours, bicubic = (float(value) for value in np.mean(rows, axis=0))
    basis = f"AlexNet, mean of {len(pairs)} patches against the true HR, 2nd to 98th percentile of the HR as range"
    return [
        judge(limits, "reference.lpips", ours, "", basis),
        judge(limits, "reference.lpips_bicubic", bicubic, "", basis),
    ]


def _missing() -> str:
    """What LPIPS lacks here; empty when it can be measured."""
    if find_spec("lpips") is None:
        return "the package lpips is not installed"
    weights = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    return "" if weights.is_file() else f"torchvision's {ALEXNET} is not in its cache"


def distance(image: NDArray[Any], hr: NDArray[Any]) -> float:
    """LPIPS of two images (B, Y, X) of one range: their first three bands, or the first one as grey. 0: the same."""
    shown = [0, 1, 2] if len(hr) >= 3 else [0, 0, 0]
    low, high = np.percentile(hr[shown], (2, 98), axis=(1, 2), keepdims=True)
    light = [np.clip(2 * (values[shown] - low) / np.maximum(high - low, 1e-12) - 1, -1, 1) for values in (image, hr)]
    with torch.inference_mode():
        found = _network()(*(torch.from_numpy(values.astype(np.float32))[None] for values in light))
    return float(found)


@cache
def _network() -> Any:
    from lpips import LPIPS

    return LPIPS(net="alex", verbose=False).eval()
