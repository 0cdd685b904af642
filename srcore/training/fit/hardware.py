"""Where a training run computes, and in which precision."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(wish: str) -> torch.device:
    """`wish`, or for auto the GPU when there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wish == "auto" else wish)


def choose_precision(wish: str, device: torch.device) -> torch.dtype:
    """`wish`, or for auto bfloat16 where a convolution is faster in it than in float32."""
    if wish != "auto":
        return PRECISIONS[wish]
    return min(PRECISIONS.values(), key=lambda dtype: _seconds(dtype, device))


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Best of three times of a few convolutions of the generators' width."""
    x = torch.zeros(4, 48, 64, 64, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    kernel = torch.zeros(48, 48, 3, 3, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(4):  # the first round pays for the kernels' preparation
        start = time.perf_counter()
        for _ in range(4):
            y = functional.conv2d(x, kernel)
        float(y[0, 0, 0, 0])  # waits for a GPU
        times.append(time.perf_counter() - start)
    return min(times[1:])
