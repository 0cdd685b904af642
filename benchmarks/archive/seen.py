"""A product beside its source, as programs without srcore see them: what the checks of the cases look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import rasterio
from numpy.typing import NDArray


@dataclass(frozen=True)
class Image:
    """Pixels of a file or of several, and what the files say of themselves."""

    values: NDArray[Any]
    """(C, Y, X), or (1, Z, Y, X) of a volume."""
    valid: NDArray[np.bool_]
    """False where a nodata number, a mask or alpha hides a pixel, and where it is no number."""
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """A source and its product."""

    sources: tuple[Path, ...]
    output: Path
    flags: tuple[str, ...]

    @cached_property
    def lr(self) -> Image:
        """The source; files of one band each become the bands of one."""
        images = [read_image(path) for path in self.sources]
        values, valid = ([getattr(image, name) for image in images] for name in ("values", "valid"))
        return Image(np.concatenate(values), np.concatenate(valid), images[0].facts)

    @cached_property
    def sr(self) -> Image:
        """The product."""
        return read_image(self.output)

    @cached_property
    def scale(self) -> tuple[int, ...]:
        """SR pixels a LR pixel, on every axis."""
        return tuple(sr // lr for sr, lr in zip(self.sr.values.shape[1:], self.lr.values.shape[1:], strict=True))

    @cached_property
    def item(self) -> Mapping[str, Any]:
        """The STAC item."""
        name = self.output.name.partition(".")[0]
        found: Mapping[str, Any] = json.loads((self.output.with_name(f"{name}.json")).read_text())
        return found

    def kron(self, lr: NDArray[Any]) -> NDArray[Any]:
        """Each pixel of (C, ...) in the place of its SR pixels."""
        for axis, scale in enumerate(self.scale, 1):
            lr = lr.repeat(scale, axis)
        return lr

    def blocks(self, reduce: Any) -> NDArray[Any]:
        """`reduce` over the SR pixels of each LR pixel."""
        shape = [self.sr.values.shape[0]]
        for size, scale in zip(self.lr.values.shape[1:], self.scale, strict=True):
            shape += [size, scale]
        cut = self.sr.values[
            (slice(None), *(slice(s * n) for s, n in zip(self.scale, self.lr.values.shape[1:], strict=True)))
        ]
        result: NDArray[Any] = reduce(cut.reshape(shape), axis=tuple(range(2, len(shape), 2)))
        return result


def read_image(path: Path) -> Image:
    """A file as GDAL or nibabel read it by default."""
    return _volume(path) if ".nii" in path.name else _raster(path)


def _raster(path: Path) -> Image:
    with rasterio.open(path) as file:
        values, valid = file.read(), file.read_masks() > 0
        tags = {name: file.tags(ns=name) for name in file.tag_namespaces()}
        facts = {
            "crs": file.crs,
            "transform": file.transform,
            "gcps": file.gcps,
            "nodata": file.nodatavals,
            "scales": file.scales,
            "offsets": file.offsets,
            "units": file.units,
            "descriptions": file.descriptions,
            "colours": [colour.name for colour in file.colorinterp],
            "tags": {
                **file.tags(),
                **{f"{space}.{key}": value for space, some in tags.items() for key, value in some.items()},
            },
            "band_tags": file.tags(1, ns="IMAGE_STRUCTURE"),
        }
        facts["palette"] = file.colormap(1) if "palette" in facts["colours"] else None
    if values.dtype.kind == "f":
        valid &= np.isfinite(values) & (np.abs(values) < 3e38)
    return Image(values, valid, facts)


def _volume(path: Path) -> Image:
    image: Any = nibabel.load(path)
    head, stored = image.header, image.dataobj
    values = np.asanyarray(stored.get_unscaled())
    values = values.reshape(values.shape[:3]).transpose(2, 1, 0)[None]
    facts = {
        "affine": image.affine,
        "slope": float(stored.slope),
        "inter": float(stored.inter),
        "zooms": head.get_zooms()[:3],
        "intent": int(head["intent_code"]),
        "shape": head.get_data_shape(),
    }
    return Image(values, np.isfinite(values), facts)
