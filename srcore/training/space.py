"""What a search of recipes may try: the part of a recipe under its key `search`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

FORM = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
"""Of every part of a recipe: no unknown key, and no number that is none."""


class Range(BaseModel):
    """Numbers that a search draws from, ends included; whole ones where both ends are."""

    model_config = FORM

    low: int | float
    high: int | float
    log: bool = False
    """Evenly in the logarithm: for rates and weights."""
    step: int | float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0 and no step")
        if self.whole and self.step is not None and not isinstance(self.step, int):
            raise ValueError("step must be whole where low and high are")
        return self

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def _kind(value: Any) -> str | None:
    if isinstance(value, Mapping | Range):
        return "range"
    return "values" if isinstance(value, list | tuple) else None


Values = Annotated[tuple[Any, ...], Field(min_length=1)]
Dimension = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Values, Tag("values")],
    Discriminator(
        _kind, custom_error_type="dimension", custom_error_message="give a list of values, or {low: , high: }"
    ),
]


class Search(BaseModel):
    """What `srcore train --search` tries."""

    model_config = FORM

    trials: int = Field(gt=0)
    """All together, those before a resume included."""
    steps: int = Field(gt=0)
    """Of a trial; the recipe's own `steps` are for the training that follows with the best."""
    evaluate_every: int = Field(gt=0)
    """Steps between measurements on the validation patches; at each a trial may end early."""
    random: int = Field(4, gt=0)
    """First trials, drawn at random and never ended early; what comes after learns from them."""
    prune: bool = True
    """End a trial that is worse than the median of the others at the same step."""
    space: Mapping[str, Dimension] = Field(min_length=1)
    """Key of the recipe, dots between the parts, to the values that it may take. In `losses`, a name alone stands
    for that loss with weight 1."""
