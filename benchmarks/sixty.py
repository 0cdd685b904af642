"""Sentinel-2's 60 m bands brought to 10 m: which way is worth it, by Wald's protocol.

    python -m benchmarks.sixty [--json sixty.json] [--pictures FOLDER]
    python -m benchmarks.sixty --choose

As `benchmarks.guided`, six times down: B01 and B09 at 60 m are the truth, under their sensor's contrast they become LR
at 360 m, the 10 m bands guides at 60 m, the 20 m bands at 120 m. B10 (cirrus) shows no ground, and no place has it.

- bicubic, GS, MTF-GLP, windows: as there, straight by 6, with the 10 m bands as guides; windows of 3 to 11 LR pixels.
- srcore: what a run does (`srcore.injection`), windows of 5 as well.
- MTF-GLP, then the model: by 3 with the 20 m bands as guides, then by 2 by `srcore-guided-x2` with the 10 m bands.

None of these ways saw a 60 m band before, so all places with 64 pixels of 60 m or more are judged, also those whose
20 m bands the model was trained on (marked). Smaller ones have ten LR pixels a side, which no regression is made of.

`--choose` finds the side of the window and the ridge of `srcore.injection`: those of the least ERGAS, over that of
bicubic, on the marked places; what they give on the others is told beside.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.guided import (
    MTF,
    Cube,
    Place,
    _named,
    bicubic,
    draw,
    figures,
    gram_schmidt,
    model,
    mtf_glp,
    shrunk,
    table_of,
)
from benchmarks.sensors import T33UUB, TRUE_FOLDER, _matlab
from srcore.checkpoints import locate
from srcore.engine import Engine
from srcore.injection import RIDGE, SIDE, injected, reach_px
from srcore.memory.whole import open_whole
from srcore.models.guided import Guided
from srcore.radiometry import percentile_normalisation
from srcore.training.config import data_folder
from srcore.weights import load_generator

ZOOM, STEP = 6, 3
"""Of the 60 m bands to 10 m, and to 20 m."""
LEAST_PX = 64
"""60 m pixels on each side of a place."""
MARK = "*"
"""Ends the name of a place whose 20 m bands the model has learned."""
SIDES, RIDGES = (3, 5, 7, 9, 11), (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""What `--choose` tries."""


@dataclass(frozen=True)
class Wide:
    """One place, six times down."""

    straight: Place
    """With the 10 m bands as guides."""
    between: Cube
    """The 20 m bands at a half of the truth's resolution."""


def places() -> Iterator[Wide]:
    """All with enough 60 m pixels; those that the model's 20 m bands are of end with a star."""
    for folder in (TRUE_FOLDER, TRUE_FOLDER.with_name("train")):
        for path in sorted(data_folder(folder).glob("*_60m.tif")):
            bands = [_named(path.with_name(path.name.replace("_60m", f"_{gsd}m"))) for gsd in (60, 20, 10)]
            if min(next(iter(bands[0].values())).shape) >= LEAST_PX:
                mark = "" if folder == TRUE_FOLDER else MARK
                yield six_down(path.stem.removesuffix("_60m") + mark, *bands)
    tile = data_folder(T33UUB.parent) / T33UUB.name
    names = {60: ("B01", "B09"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 10: ("B04", "B03", "B02", "B08")}
    yield six_down("t33uub", *(dict(zip(own, _matlab(tile, f"im{gsd}"), strict=False)) for gsd, own in names.items()))


def six_down(name: str, coarse: Mapping[str, Cube], middle: Mapping[str, Cube], fine: Mapping[str, Cube]) -> Wide:
    """A place whose 60 m bands are the truth; each band with its sensor's MTF."""
    truth = np.stack(list(coarse.values()))
    height, width = (n // ZOOM * ZOOM for n in truth.shape[1:])
    truth = truth[:, :height, :width]
    guides = np.stack([shrunk(band, MTF[key], ZOOM)[:height, :width] for key, band in fine.items()])
    between = np.stack([shrunk(band, MTF[key], ZOOM)[: height // 2, : width // 2] for key, band in middle.items()])
    lr = np.stack([shrunk(band, MTF[key], ZOOM) for key, band in zip(coarse, truth, strict=True)])
    return Wide(Place(name, lr, guides, truth, tuple(MTF[key] for key in coarse), ZOOM), between)


def windows(place: Place, side: int) -> Cube:
    """MTF-GLP with weights found in windows of so many LR pixels: the model without its network."""
    way = Guided(zoom=place.zoom, width=1, blocks=0, windows=(side,))
    own, others = (percentile_normalisation(list(cube)) for cube in (place.lr, place.guides))
    halo = [(0, 0), *[(way.found_px * place.zoom,) * 2] * 2]
    guides = np.pad(others.apply(place.guides), halo, mode="symmetric")
    bands = np.pad(own.apply(place.lr).repeat(place.zoom, 1).repeat(place.zoom, 2), halo, mode="symmetric")
    with torch.inference_mode():
        found = [way.classical(torch.from_numpy(np.concatenate([band[None], guides]))[None])[0][0, 0] for band in bands]
    return np.asarray(own.undo(np.stack(found)))


def as_in_a_run(place: Place, side: int = SIDE, ridge: float = RIDGE) -> Cube:
    """What the reader gives, its LR mirrored at the edges."""
    pads = [[(0, 0), *[(reach_px(side) * by,) * 2] * 2] for by in (1, place.zoom)]
    lr, guides = (np.pad(cube, pad, "symmetric") for cube, pad in zip((place.lr, place.guides), pads, strict=True))
    return injected(lr, guides, place.zoom, side=side, ridge=ridge)


def choose() -> Table:
    """The ERGAS of every side and ridge over that of bicubic, as a mean of the marked places and of each other one."""
    judged = [(wide.straight.name, wide.straight) for wide in places()]
    judged.sort(key=lambda one: not one[0].endswith(MARK))
    plain = {name: figures(place, bicubic(place))["ERGAS"] for name, place in judged}
    rows = []
    for side, ridge in product(SIDES, RIDGES):
        shares = {n: figures(place, as_in_a_run(place, side, ridge))["ERGAS"] / plain[n] for n, place in judged}
        rows.append((fmean(share for name, share in shares.items() if name.endswith(MARK)), side, ridge, shares))
    table = Table("window", "ridge", "mean of the marked", *plain, title="ERGAS over that of bicubic, the best first")
    for mean, side, ridge, shares in sorted(rows, key=lambda row: row[0]):
        table.add_row(str(side), f"{ridge:g}", f"{mean:.4f}", *(f"{share:.3f}" for share in shares.values()))
    return table


def in_two_steps(wide: Wide, engine: Engine) -> Cube:
    """By 3 with the 20 m bands, then by 2 with the 10 m bands."""
    half = mtf_glp(replace(wide.straight, guides=wide.between, zoom=STEP))
    return model(replace(wide.straight, lr=half, zoom=ZOOM // STEP), engine)


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sixty", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for one picture a place")
    parser.add_argument("--choose", action="store_true", help="try sides of the window and ridges, and nothing else")
    arguments = parser.parse_args()
    if arguments.choose:
        Console().print(choose())
        return
    ways: dict[str, Callable[[Place], Cube]] = {"bicubic": bicubic, "GS": gram_schmidt, "MTF-GLP": mtf_glp}
    ways |= {f"windows of {side}": partial(windows, side=side) for side in (3, 5, 7, 11)}
    shipped = open_whole(*load_generator(locate("srcore-guided-x2")), "float32")
    ways["srcore"] = as_in_a_run
    found: dict[str, dict[str, dict[str, float]]] = {}
    for wide in places():
        made = {name: way(wide.straight) for name, way in ways.items()}
        made["MTF-GLP, then the model"] = in_two_steps(wide, shipped)
        name = wide.straight.name
        found[name] = {way: figures(wide.straight, sr) for way, sr in made.items()}
        for k, band in enumerate(("B01", "B09")):  # they have little in common: each also by itself
            alone = replace(wide.straight, truth=wide.straight.truth[[k]])
            found[f"{name} {band}"] = {way: figures(alone, sr[[k]]) for way, sr in made.items()}
        if arguments.pictures:
            draw(arguments.pictures / f"{name.rstrip(MARK)}.png", wide.straight, made)
    Console().print(table_of(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
