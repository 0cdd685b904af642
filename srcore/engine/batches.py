"""Slices through a network in as large batches as the device has memory for. torch only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from srcore.errors import TileError

FIRST_BATCH = {"cpu": 1, "cuda": 16}
"""Slices a pass to begin with: batching gives nothing on a CPU."""


class Batches:
    """Passes of at most `limit` slices; the limit is halved, for good, when the device runs out of memory."""

    def __init__(self, device: torch.device, halo_px: Sequence[int], scale: Sequence[int], multiple: int = 1) -> None:
        self.device, self.halo_px, self.scale, self.multiple = device, halo_px, scale, multiple
        self.limit = FIRST_BATCH.get(device.type, 1)

    def run(self, slices: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """(N, B, y, x) to (N, B, Y, X) in float32 on the device; a slice that does not fit is cut into smaller cores.

        Of volumes (N, B, z, y, x) to (N, B, Z, Y, X).

        TileError TILE_OOM when not even the smallest piece fits.
        """
        done: list[Tensor] = []
        position = 0
        while position < len(slices):
            piece = slices[position : position + self.limit]
            try:
                done.append(self._pass(piece, network))
                position += len(piece)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(piece) > 1:
                    self.limit = len(piece) // 2
                else:
                    done.append(self._halves(piece, network))
                    position += 1
        return done[0] if len(done) == 1 else torch.cat(done)

    def _halves(self, piece: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """One slice as two cores that keep their halo: exact, with half of the memory."""
        axis = max(range(2, piece.ndim), key=lambda axis: piece.shape[axis])
        halo, scale = self.halo_px[axis - 2], self.scale[axis - 2]
        core = piece.shape[axis] - 2 * halo
        if core < 2 * max(16, halo):
            raise TileError(
                "the device has no memory for the smallest piece of a tile",
                f"core {core} px",
                "free memory on the device or use a smaller model",
                code="TILE_OOM",
            )
        cut = core // 2 // self.multiple * self.multiple
        first = self.run(piece.narrow(axis, 0, cut + 2 * halo), network)
        second = self.run(piece.narrow(axis, cut, core - cut + 2 * halo), network)
        out = torch.cat([first, second], dim=axis)
        if out.shape[axis] != core * scale:
            raise TileError("halves of a tile do not add up", f"{out.shape[axis]} px", f"expected {core * scale}")
        return out

    def _pass(self, piece: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        # inference_mode is a setting of the thread: it has to be entered where the work is done.
        with torch.inference_mode():
            return network(piece.to(self.device)).float()


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch and the C library raise when memory is short, and for nothing else."""
    # torch has a class for CUDA only; its CPU allocator raises a RuntimeError with this text.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
