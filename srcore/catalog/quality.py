"""The key `quality` of a dataset: which layer of clouds is heeded, and how."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from srcore.catalog.keys import absolute
from srcore.choices import QualityUse, QualityWish


class Quality(BaseModel):
    """A layer that says which pixels are cloud, shadow and the like, and what is made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    layer: str = "auto"
    """SCL, CLASSI, QA_PIXEL, Fmask or udm2; auto: the provider's own; else a path of a mask, in which {scene} stands
    for the name of the raster without its suffix: what is not 0 in it is meant."""
    use: tuple[str | int, ...] | None = Field(default=None, min_length=1)
    """Words (cloud, shadow, cirrus, snow ...) or numbers of classes, bits or bands; None: what hides the ground."""
    as_: QualityUse = Field(default="flag", alias="as")
    """nodata: what is meant has no pixels in the product; band: the layer is a band more of it; flag: it is said."""
    skip_above: float | None = Field(default=None, ge=0, le=1)
    """A scene of which more than this share is meant has no product, and fails no night."""

    @field_validator("layer")
    @classmethod
    def _check_layer(cls, value: str, info: ValidationInfo) -> str:
        return absolute(value, info) if "/" in value else value

    @property
    def wish(self) -> QualityWish:
        """The same as plain values."""
        return {
            "layer": self.layer,
            "use": None if self.use is None else list(self.use),
            "as_": self.as_,
            "skip_above": self.skip_above,
        }
