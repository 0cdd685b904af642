"""The key `mosaic` of a dataset: which files of its source are one scene, and which of them is on top."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from srcore.catalog.keys import template
from srcore.choices import MosaicOrder


class Mosaic(BaseModel):
    """Several files of one grid family as one scene."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    group: str = Field(min_length=1, max_length=1000)
    """A pattern of the file's name, or with a / of as many folders above it: files of the same {scene} are one scene,
    as {scene}_*.tif or {scene}/*.tif."""
    order: MosaicOrder = "newest"
    """What a pixel is that several files have: the newest's, by when they were taken, or that of the first by name."""

    @field_validator("group")
    @classmethod
    def _check_group(cls, value: str, info: ValidationInfo) -> str:
        if value.count("{scene}") != 1:
            raise ValueError("{scene} is needed once: what the files of one scene have in common")
        if value.startswith(("/", ".")) or any(sign in value for sign in ("{band}", "{patient}", "{series}", "**")):
            raise ValueError("a pattern of names is needed, as {scene}_*.tif or {scene}/*.tif: without {band} and **")
        return template(value)
