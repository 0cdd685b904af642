"""The spec of a generator: what a checkpoint folder says of itself, read without torch.

A checkpoint is a folder of `config.json` (this spec), `model.safetensors` and `README.md` (the model card). One that
came as an ONNX graph has `model.onnx` in place of the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from srcore.choices import PROFILE_STEPS, Edge, SliceProfile
from srcore.errors import CheckpointError, shortened
from srcore.regular import read_regular
from srcore.trust import Trust

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""Of a model."""
CHAMPION, CHALLENGER = "champion", "challenger"
REFERENCE = re.compile(rf"({NAME.pattern})@({CHAMPION}|{CHALLENGER}|[1-9][0-9]{{0,8}})")
"""A model of the registry: by alias, or by the number of a version."""
BUILTIN = Path(__file__).parent / "pretrained"
WEIGHTS, GRAPH = "model.safetensors", "model.onnx"
ONNX = "onnx"
"""The architecture of a generator that is a graph and no class of `srcore.models`."""
SPEC = "config.json"
MAX_PARAM = 4096
"""Of blocks, channels, heads: many times what any network here has."""
FORMER = {"tiling": "exact", "alignment": "pixel-area"}
"""Keys that specs had while they could have one value only. A spec that still has them is read; and digests go on
counting them, since receipts, registries and scratch folders name models by digests that did."""


class Architecture(BaseModel):
    """Which class of `srcore.models.GENERATORS`, and the arguments of its constructor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    params: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("params")
    @classmethod
    def _small(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A checkpoint is a stranger's: what it asks for is judged before anything is made of it."""
        for name, value in params.items():
            parts = value if isinstance(value, (list, tuple)) else [value]
            least = -MAX_PARAM if name == "moved" else 0  # up and left is a way, too
            if any(isinstance(part, (int, float)) and not least <= part <= MAX_PARAM for part in parts):
                raise ValueError(f"{name} is {value}, and no number beyond {least} to {MAX_PARAM} makes sense")
        return params


class Spec(BaseModel):
    """The contract of one generator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    architecture: Architecture
    kind: Literal["raster", "volume"] = "raster"
    scale: tuple[Annotated[int, Field(ge=1, le=64)], ...]
    """SR pixels per LR pixel on the generator's own axes, (Y, X) or (Z, Y, X).

    Outer edges of LR and SR coincide; SR pixel centres lie at (i + 1/2) / scale - 1/2 in LR pixels.
    """
    bands: Literal["any"] | Annotated[int, Field(ge=1, le=MAX_PARAM)] = "any"
    halo: tuple[Annotated[int, Field(ge=0, le=MAX_PARAM)], ...]
    """LR pixels that the generator needs on each side of a core, on its own axes."""
    core_multiple: int = Field(default=1, gt=0, le=MAX_PARAM)
    """Cores start and end at multiples of this many LR pixels, where a stride or a window of the generator does."""
    zoom: int = Field(default=1, ge=1, le=8)
    """Above 1: it brings bands that are so many times coarser to the grid of finer ones, its guides, which are kept as
    they are; `scale` is then 1, since the scene lies on the guides' grid."""
    normalise: Literal["percentile", "none"] = "percentile"
    """percentile: each band is mapped linearly so that its 2nd and 98th percentile become 0 and 1."""
    edge: Edge = "reflect"
    """What it sees beyond the scene's edges, as in its training; the same however the scene is cut into tiles."""
    slice_profile: SliceProfile = "box"
    """Of a volume's slices that become thinner: what it takes one of the LR for, where the catalog does not say."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The precision that the figures were verified in."""
    activation_bytes_px: int = Field(default=64, ge=0, le=2**30)
    """Measured peak of a pass in bytes an LR pixel of the tile; memory is projected from it."""
    weights_sha256: str | None = None
    """Digest of model.safetensors; None for a generator without weights."""
    licence: str = "Apache-2.0"
    training: Mapping[str, Any] = Field(default_factory=dict)
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    trust: Trust | None = None
    """How far its pixels may be off, as calibrated on held-out scenes; None: no trust map can be made."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        return {key: value for key, value in document.items() if key not in FORMER or value != FORMER[key]}

    @cached_property
    def digest(self) -> str:
        """sha256 over everything that decides the pixels: architecture, geometry, normalisation, weights."""
        facts = self.model_dump(
            mode="json",
            include={
                "architecture",
                "kind",
                "scale",
                "bands",
                "halo",
                "normalise",
                "precision",
                "weights_sha256",
            },
        )
        told = {} if self.edge == "reflect" else {"edge": self.edge}  # a default adds nothing to digests of before
        return hashlib.sha256(json.dumps(facts | told | FORMER, sort_keys=True).encode()).hexdigest()

    @property
    def weights_file(self) -> str:
        """The file beside the spec whose digest is `weights_sha256`."""
        return GRAPH if self.architecture.name == ONNX else WEIGHTS

    @property
    def trained_behind(self) -> int:
        """Steps of back-projection that stood behind the generator in its training; 0: it was trained alone."""
        return int(self.training.get("back_projection", 0))

    @property
    def usual_steps(self) -> int | None:
        """Steps of back-projection where nobody says how many; None: one, or those of a profile of slices.

        After one, slices that are made twice finer are further from the LR than planes are (decision 293).
        """
        twice_finer = len(self.scale) == 3 and self.scale[0] == 2
        return PROFILE_STEPS if twice_finer and not self.trained_behind else None

    @property
    def least_contrast(self) -> float | None:
        """At the LR's Nyquist frequency, of the sensors that its training had; None: it learned of no sensor."""
        made = (self.training, *(self.training.get("sources") or ()))
        told = [one.get("degradation") or () for one in made]
        ways = [way for one in told for way in ([one] if isinstance(one, Mapping) else one)]
        return min((float(way["mtf"][0]) for way in ways if way["kind"] == "sensor"), default=None)

    def margin_for(self, pixels: int) -> int:
        """Pixels around a core where what follows the generator needs so many LR pixels: what keeps the tile on the
        grid."""
        return -(-pixels * self.zoom // self.core_multiple) * self.core_multiple

    def scale_for(self, axes: int) -> tuple[int, ...]:
        """Scale on every axis of a scene: a 2-D generator goes slice by slice through a volume."""
        return _leading(1, axes, self.scale, self.name)

    def halo_for(self, axes: int) -> tuple[int, ...]:
        """Halo on every axis of a scene; 0 across slices."""
        return _leading(0, axes, self.halo, self.name)

    def halo_around(self, axes: int, margin_px: int) -> tuple[int, ...]:
        """Halo on every axis of a scene, with what steps behind the generator need more on the generator's own axes."""
        coupled, margin, halo = len(self.halo), self.margin_for(margin_px), self.halo_for(axes)
        return (*halo[:-coupled], *(h + margin for h in halo[-coupled:]))


def _leading(value: int, axes: int, own: tuple[int, ...], name: str) -> tuple[int, ...]:
    if len(own) > axes:
        raise CheckpointError(
            f"model {name} does not fit the scene",
            f"a generator for {len(own)} axes and a scene of {axes}",
            "use a model for rasters",
        )
    return (value,) * (axes - len(own)) + own


def builtin_names() -> list[str]:
    """Names of the checkpoints that ship in the package."""
    return sorted(path.parent.name for path in BUILTIN.glob(f"*/{SPEC}"))


def locate(reference: str) -> Path:
    """The folder of a checkpoint: a built-in name, or a path. CheckpointError when there is none."""
    if reference in builtin_names():
        return BUILTIN / reference
    folder = Path(reference)
    with suppress(OSError, ValueError):  # a name that is none: too long, or with a zero in it
        if (folder / SPEC).is_file():
            return folder
    raise CheckpointError(
        f"unknown model {shortened(reference)!r}",
        f"built-in models {', '.join(builtin_names())}",
        f"use one of them or a folder with a {SPEC}",
        code="UNKNOWN_MODEL",
    )


def read_spec(folder: Path) -> Spec:
    """The spec in a checkpoint folder; CheckpointError when it is missing or says what it must not."""
    path = folder / SPEC
    try:
        return Spec.model_validate_json(read_regular(path))
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read", error.strerror or "", "give a checkpoint folder", code="NOT_READABLE"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CheckpointError(
            f"{path} is not a valid spec", f"{where}: {first['msg']}", "import the model again"
        ) from error


def write_spec(folder: Path, spec: Spec) -> None:
    """Write config.json into a checkpoint folder; CheckpointError when it cannot be written."""
    try:
        (folder / SPEC).write_text(spec.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"{folder / SPEC} cannot be written",
            error.strerror or "",
            "copy the checkpoint to a folder that you may write to",
            code="NOT_WRITABLE",
        ) from error
