"""The key `watch` of a dataset: scenes that are done when their files arrive."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Watch(BaseModel):
    """When files that arrive are complete: polling sees them grow, and no program says that it has finished."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    settle_s: float = Field(default=60.0, ge=1, le=86400)
    """Seconds without a change of size or time."""
