"""Training on a machine that has Python, torch and numpy and nothing else: `python -m srcore.training.fit.bare FOLDER`.

`srcore train RECIPE --pack FOLDER` makes the folder where the data are; this goes on from the state in it, on the
same batches as Lightning would, and keeps it there. Back home, `state.pt` goes into the recipe's output folder and
`srcore train RECIPE --resume` makes the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srcore.models import GENERATORS
from srcore.training.data.batches import Geometry, Plane, draw_batch, geometry_of
from srcore.training.fit.core import State, advance, new_state, steps_left
from srcore.training.fit.hardware import choose_device, choose_precision
from srcore.training.fit.state import load_state, save_state

if TYPE_CHECKING:
    from srcore.training.config import TrainConfig

RECIPE, PLANES = "recipe.json", "planes.npz"


def pack(folder: Path, config: TrainConfig, planes: Sequence[Plane], state: State) -> None:
    """Write into `folder` all that a run needs: recipe, planes and state."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = [
        {
            "offset": p.offset,
            "scale": p.scale,
            "chance": p.chance,
            "guides": p.guides,
            "degradation": p.degradation and [one.model_dump() for one in p.degradation],
        }
        for p in planes
    ]
    (folder / RECIPE).write_text(json.dumps({"config": config.model_dump(mode="json"), "planes": facts}))
    arrays = {
        f"{name}{index}": getattr(plane, name)
        for index, plane in enumerate(planes)
        for name in ("values", "starts", "lr")
        if getattr(plane, name) is not None
    }
    np.savez_compressed(folder / PLANES, **arrays)
    save_state(folder, state)


def unpack(folder: Path) -> tuple[TrainConfig, list[Plane], dict[str, Any]]:
    """Recipe, planes and the architecture that `pack` wrote."""
    document = json.loads((folder / RECIPE).read_text())
    config = document["config"]
    config["degradation"] = _plain(config["degradation"])
    config["adversarial"] = SimpleNamespace(**config["adversarial"]) if config["adversarial"] else None
    planes = []
    with np.load(folder / PLANES) as arrays:
        for index, facts in enumerate(document["planes"]):
            parts = [arrays.get(f"{name}{index}") for name in ("values", "starts", "lr")]
            planes.append(
                Plane(
                    cast(Any, parts[0]),
                    parts[1],
                    tuple(facts["offset"]),
                    tuple(facts["scale"]),
                    facts["chance"],
                    parts[2],
                    _plain(facts["degradation"]),
                    facts.get("guides", 0),
                )
            )
    return cast("TrainConfig", SimpleNamespace(**{**config, "output": folder})), planes, config["architecture"]


def _plain(degradation: Sequence[Mapping[str, Any]] | None) -> Any:
    """As the recipe's own, where there is no pydantic."""
    return None if degradation is None else tuple(SimpleNamespace(**one) for one in degradation)


@dataclass(frozen=True)
class _Steps(Dataset[tuple[Tensor, Tensor]]):
    """The batch of a step, by its number."""

    planes: Sequence[Plane]
    geometry: Geometry
    config: TrainConfig

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return draw_batch(self.planes, self.geometry, self.config, step)


def _batches(steps: _Steps, left: Sequence[int], device: torch.device, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the steps that are left, on the device; drawn ahead by `workers` processes where there are any."""
    if not workers:
        for step in left:
            yield draw_batch(steps.planes, steps.geometry, steps.config, step, device)
        return
    ahead = DataLoader(steps, None, sampler=left, num_workers=workers, pin_memory=device.type == "cuda")
    for lr, hr in ahead:
        yield lr.to(device, non_blocking=True), hr.to(device, non_blocking=True)


def run(folder: Path, seconds: float = float("inf"), workers: int = 0) -> State:
    """Train to the recipe's last step, or for about `seconds`; the state in `folder` is rewritten as it goes.

    `workers` processes draw batches ahead: the same batches, for a GPU that is faster than one process can draw.
    """
    config, planes, architecture = unpack(folder)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    generator = GENERATORS[architecture["name"]](**architecture["params"])
    state = new_state(generator.to(memory_format=generator.memory_format), config)  # type: ignore[call-overload]
    load_state(folder, state)
    state.to(device)
    geometry = geometry_of(config, generator)
    started = time.monotonic()
    batches = _batches(_Steps(planes, geometry, config), steps_left(state, config), device, workers)
    for lr, hr in batches:
        losses = advance(state, lr, hr, config, precision)
        ends = time.monotonic() - started > seconds or state.step == config.steps
        if ends or state.step % config.save_every == 0:
            save_state(folder, state)
        if ends or state.step % config.log_every == 0:
            spent = time.monotonic() - started
            print(f"step {state.step} of {config.steps}: loss {losses['loss']:.5f}, {spent:.0f} s", flush=True)
        if ends:
            break
    return state


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="made by srcore train RECIPE --pack FOLDER")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after about as many")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches ahead")
    given = parser.parse_args()
    run(given.folder, given.seconds, given.workers)
