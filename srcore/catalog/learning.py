"""The keys `retrain` and `pairs` of a dataset: how its model gets better, and from which HR."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from srcore.catalog.elsewhere import NameOrSearch
from srcore.catalog.keys import absolute, cron, expression


class Retrain(BaseModel):
    """How a dataset's model gets better: a challenger is trained on its scenes, and promoted if it is better."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schedule: Annotated[str | None, AfterValidator(cron)] = None
    """Cron expression of five fields, in the dataset's `timezone`; None: only when asked."""
    takes: Literal["files", "pairs"] = Field(default="files", alias="from")
    """What is learned from: the scenes' files, checked in every round, or the pairs that were collected and kept."""
    recipe: Annotated[str, AfterValidator(absolute)] | None = None
    """YAML file with keys of a training recipe: steps, batch, learning_rate, losses and the like; what is trained on
    what, and from where, is given. None: a short fine-tuning."""
    hold_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of the places that are never trained on, raised to ten where that is at most half of them: champion and
    challenger are compared there."""
    place: Annotated[str, AfterValidator(expression)] | None = None
    """Regular expression, searched in the path of a file without CRS, below the source and without suffix: its first
    group (or all of it) is the file's place, or its patient. None: such a file trains and never judges."""
    at_least_db: float = Field(default=0.05, ge=0)
    """The challenger is promoted when its mean gain in PSNR is more than this, and surely more than nothing."""
    at_most_worse_db: float = Field(default=0.1, ge=0)
    """The most that any sensor or season may lose on average."""
    shadow: float = Field(default=0.0, ge=0, le=1)
    """Share of the scenes of a night that @challenger does, too: its figures are kept, nothing of it is published."""
    replay: float = Field(default=0.5, gt=0, lt=1)
    """Share of the patches from scenes that the champion has learned from in earlier rounds, where there are new ones
    beside them: what it knew is not forgotten for what came last."""
    scenes: int = Field(default=100, ge=4)
    """At most so many scenes are used, the newest."""


class Pairs(BaseModel):
    """Which HR belongs to a dataset's scenes, and what is asked of a pair of both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    hr: NameOrSearch | None = None
    """Whose scenes of the same ground and time are the HR: another dataset of the catalog, or a search as in `source`,
    {stac: ADDRESS, collections, ...}; None: those of `hr`."""
    within_days: float = Field(default=16, ge=0)
    """HR and LR were taken at most so many days apart, where both dates are known."""
    bands: dict[str, str] | None = None
    """Bands of this dataset to those of the HR that show the same, as {B8A: B08}; None: all, which must be the same."""
    sensor: Literal["same", "other"] = "same"
    """Whether one sensor took both: then they have to look alike by 0.9, else by 0.7."""
    fit: bool = False
    """The HR's numbers are fitted to the LR's by a gain and an offset; false: a pair that needs it is refused."""
    schedule: Annotated[str | None, AfterValidator(cron)] = None
    """Cron expression of five fields, in the dataset's `timezone`, of collecting; None: only when asked."""
    on_arrival: bool = False
    """Collected, too, when something is new: under `srcore serve` when files of LR or HR have arrived and stay as they
    are (for the `settle_s` of `watch`, else 60 s), and behind a night that published something of either."""
