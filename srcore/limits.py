"""The limits of the checks: one place, with a version; a dataset of the catalog can change them.

A value beyond `warn` is told and makes the product degraded, one beyond `gate` stops it. Where each number comes
from is written beside it; `python -m benchmarks.validation` measures good products and planted defects against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from pydantic import BaseModel, ConfigDict, ValidationError

from srcore.errors import CatalogError

VERSION = 2
"""Of the table below; every report names it."""


@dataclass(frozen=True)
class Limit:
    """What a value may be: at most, or with `at_least` at least."""

    warn: float | None = None
    gate: float | None = None
    at_least: bool = False

    def worse(self, value: float, limit: float | None) -> bool:
        """True when `value` is beyond `limit`; a value that is no number always is, where there is a limit."""
        if limit is None:
            return False
        return not (value >= limit if self.at_least else value <= limit)


LIMITS: dict[str, Limit] = {
    "grid.corners": Limit(gate=1e-6),
    "grid.corners_volume": Limit(
        gate=0.01
    ),  # NIfTI keeps its affine in 32-bit floats: 1 m away, 3e-4 of a 0.2 mm voxel
    "grid.points": Limit(gate=1e-6),
    "mask.equal": Limit(gate=0),
    "values.finite": Limit(gate=0),
    "values.flat": Limit(gate=0),
    "values.mean": Limit(warn=0.001, gate=0.005),
    "values.block_mean": Limit(warn=0.02, gate=0.1),
    "values.quantiles": Limit(warn=0.05, gate=0.2),
    "values.clipped": Limit(warn=0.002, gate=0.02),
    "values.copied": Limit(gate=0),
    "values.range": Limit(gate=0),
    "values.beyond": Limit(warn=0.01),  # of small scenes of hills, 0.003 to 0.006
    "values.reach": Limit(warn=0.5, gate=1.0),  # of volumes; of a true 1 mm series 0.03, of products 0.04 to 0.42
    "values.bounded": Limit(warn=0.0),
    "values.sign": Limit(warn=0.0),
    "values.saturated": Limit(warn=0.1),
    "consistency.ratio": Limit(warn=1.0, gate=2.0),
    "tissue.air": Limit(warn=10.0, gate=40.0),  # of a scanner's phantom by srcore-volume-x2 3, 5 and 5 HU
    "tissue.soft": Limit(warn=10.0, gate=40.0),
    "tissue.bone": Limit(warn=20.0, gate=80.0),
    "tissue.air_mean": Limit(warn=2.0, gate=5.0),  # 0.0, 0.2 and 0.3 HU
    "tissue.soft_mean": Limit(warn=2.0, gate=5.0),
    "tissue.bone_mean": Limit(warn=4.0, gate=10.0),
    "spectral.angle": Limit(warn=2.0, gate=4.0),
    "spectral.reflectance": Limit(warn=0.05),
    "registration.shift": Limit(warn=0.15, gate=0.3),
    "registration.corner": Limit(warn=0.2, gate=0.3),
    "slices.step": Limit(warn=1.8, gate=2.5),  # of a true 1 mm series 1.21, of a product of its 5 mm one 1.74
    "seams.step": Limit(warn=1.8, gate=3.0),
    "detail.least": Limit(warn=0.9, at_least=True),
    "detail.most": Limit(warn=5.0),
    "detail.beyond": Limit(warn=0.1),
    "file.overviews": Limit(gate=0.5),
    "denoise.removed": Limit(warn=1.0, gate=2.0),
    "scene.empty": Limit(warn=0),
    "wald.gain": Limit(warn=-0.3, at_least=True),
    "reference.gain": Limit(warn=0.0, at_least=True),
    "trust.mask": Limit(gate=0),
    "trust.coverage": Limit(warn=0.7, at_least=True),  # sensors apart from the calibration's: 0.76 to 0.98
    "drift": Limit(warn=6.0),
}


class LimitChange(BaseModel):
    """A dataset's own limits for one check; null takes a limit away."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    warn: float | None = None
    gate: float | None = None


Changes = Mapping[str, Mapping[str, float | None]]
"""Check id to the limits that are changed."""

SHARPENED: Changes = {"detail.most": {"gate": 5.0}, "detail.beyond": {"gate": 0.1}}
"""What warns of a generator's detail stops a filter's, which has learned nothing, unless the dataset says else."""

GUIDED: Changes = {"detail.most": {"warn": 15.0}, "detail.beyond": {"warn": 0.3}, "values.beyond": {"warn": 0.03}}
"""Detail that the LR does not hint at is what guides are for; of seven real scenes 4.7 to 6.3,
0.05 to 0.17, and up to 0.014."""


def of_product(*, sharpened: bool, guided: bool) -> Changes:
    """Changes that what was done to a scene brings; a filter behind guides is stopped where these are warned of."""
    if sharpened and guided:
        stopped = {name: {**GUIDED[name], "gate": GUIDED[name]["warn"]} for name in SHARPENED}
        return {**GUIDED, **stopped}
    return SHARPENED if sharpened else GUIDED if guided else {}


def with_changes(*changes: Changes) -> dict[str, Limit]:
    """The table with changes, the later ones last; CatalogError for a check or a limit that is not known.

    What a change does not name stays: a dataset's `warn` takes no `gate` away.
    """
    limits = dict(LIMITS)
    for name, values in chain.from_iterable(one.items() for one in changes):
        if name not in limits:
            raise CatalogError(f"no check has limits under the name {name!r}", "", f"known are {', '.join(LIMITS)}")
        try:
            change = LimitChange.model_validate(dict(values)).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise CatalogError(
                f"the limits of {name} cannot be used", error.errors()[0]["msg"], "use warn and gate"
            ) from error
        limits[name] = Limit(**{**limits[name].__dict__, **change})
    return limits
