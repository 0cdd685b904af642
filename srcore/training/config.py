"""The recipe of a training run: one YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from srcore.catalog.keys import expression, glob_below
from srcore.checkpoints import Architecture
from srcore.choices import MAX_BACK_PROJECTION, Edge, SliceProfile
from srcore.documents import Document, read_document
from srcore.errors import CatalogError, SourceError
from srcore.training.losses import LossName
from srcore.training.space import FORM, Search

RECIPES = Path(__file__).parent / "recipes"
DATA_VARIABLE = "SRCORE_DATA"
MAX_CORE_PX = 4096
PLACE = r"^(.+?)(?:[-_/]\d+)?$"
"""The path below the data folder without suffix and without a tile's number: `alps_3.tif` and `alps/3.tif` are alps."""


class Degradation(BaseModel):
    """One way in which LR is made out of HR, drawn anew for every patch."""

    model_config = FORM

    kind: Literal["bicubic", "box", "sensor", "cos2"] = "bicubic"
    """bicubic: antialiased, as MATLAB's imresize. box: the mean of the HR pixels in an LR pixel. sensor: a Gaussian of
    a given contrast at the LR's Nyquist frequency. cos2: of volumes, what a scanner's slice weighs across slices, and
    the mean in the plane."""
    share: float = Field(default=1.0, gt=0)
    """Relative to the others of a list."""
    mtf: tuple[float, float] = (0.15, 0.4)
    """Range of that contrast; 0.05 is the least that fits into a kernel of 5 LR pixels."""
    noise: tuple[float, float] = (0.0, 0.0)
    """Range of the deviation of white noise on the LR, in spans of the 2nd to 98th percentile."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """LR pixels by which a sensor's LR may lie off, on each axis to either side."""
    width: tuple[float, float] = (1.0, 1.0)
    """Range of a slice's thickness, in distances between slices: below 1 lie gaps, above 1 slices overlap more."""

    @field_validator("mtf")
    @classmethod
    def _mtf_is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.05 <= value[0] <= value[1] < 1:
            raise ValueError("must be a range within 0.05 to 1")
        return value

    @field_validator("noise")
    @classmethod
    def _noise_is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError("must be a range from 0 up")
        return value

    @field_validator("width")
    @classmethod
    def _width_is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.5 <= value[0] <= value[1] <= 2:
            raise ValueError("must be a range within 0.5 to 2")
        return value

    @model_validator(mode="after")
    def _of_its_kind(self) -> Degradation:
        if self.kind != "sensor" and self.shift:
            raise ValueError("shift belongs to kind: sensor")
        if self.kind != "cos2" and self.width != (1.0, 1.0):
            raise ValueError("width belongs to kind: cos2")
        return self


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, Mapping | Degradation) else value


Degradations = Annotated[tuple[Degradation, ...], BeforeValidator(_as_list), Field(min_length=1)]
"""One way, or several, of which each patch gets one by their shares."""


class Source(BaseModel):
    """A group of files and its share of the training patches."""

    model_config = FORM

    files: Annotated[str, AfterValidator(glob_below)]
    """Glob below the data folder."""
    share: float = Field(gt=0)
    """Relative to the other sources; within a source every file has the same chance, and within a file every pixel of
    every band."""
    bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the bands to learn from; None: all."""
    degradation: Degradations | None = None
    """How its LR is made; None: as the recipe says."""
    lr: str | None = None
    """Folder below the data folder with measured LR images of the same names; None: LR is made by degradation."""
    lr_names: tuple[str, str] | None = None
    """What an HR's name has where its LR's has something else: `[_10m, _20m]`; None: the names are the same."""
    lr_bands: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the LR's bands, in the order of the HR's; None: all."""
    guides: tuple[str, str] | None = None
    """For a guided generator: what an HR's name has where the file of its finer bands has something else, as
    `[_20m, _10m]`; None: the bands of a file guide each other."""
    fit: bool = False
    """Bring each band of the LR to its HR's numbers by a gain and an offset (least squares on the HR's means): two
    bands that are neighbours in the spectrum make a pair so."""

    @model_validator(mode="after")
    def _measured(self) -> Source:
        if self.lr is None and (self.lr_names or self.lr_bands or self.fit):
            raise ValueError("lr_names, lr_bands and fit need lr, the folder of the measured LR")
        if self.lr is not None and self.degradation is not None:
            raise ValueError("lr and degradation exclude each other: what was measured is not made")
        return self


class Adversarial(BaseModel):
    """A critic beside the other losses."""

    model_config = FORM

    kind: Literal["relativistic", "hinge"] = "relativistic"
    weight: float = Field(0.005, gt=0)
    r1: float = Field(1.0, ge=0)
    """Weight of the squared gradient of the critic on real patches (Mescheder et al. 2018): it keeps the critic
    smooth, and with it a small training set from being learned by heart."""
    width: int = Field(32, gt=0)
    """Channels of the critic's first layer."""
    learning_rate: float = Field(2e-4, gt=0)
    start: int = Field(0, ge=0)
    """First step with it; before, the other losses bring the generator near."""


class TrainConfig(BaseModel):
    """What a generator is trained on, and how."""

    model_config = FORM

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    purpose: str = ""
    """What it is for, in a few words."""
    gained: str = ""
    """What a run of it gave, where one was measured."""
    data: Path
    """Folder of HR images; relative to the folder that SRCORE_DATA names."""
    validation: Path | None = None
    """Folder of HR images of other places, scored at the end of the run; relative as `data`."""
    place: Annotated[str, AfterValidator(expression)] = PLACE
    """Regular expression, searched in a file's path below `data` without suffix: its first group (or all of it) is
    the place, or the patient, of the file. A place is never on both sides of a validation."""
    held_out: tuple[str, ...] = ()
    """Places of `data` that are not trained on but validated on, instead of `validation`."""
    output: Path
    """The checkpoint folder; the state for going on lies beside the checkpoint."""
    sources: tuple[Source, ...] = Field(min_length=1)
    least_images: int = Field(1, gt=0)
    """With fewer than this the run does not start: what it learned would be those images."""
    architecture: Architecture
    start_from: str | None = None
    """A built-in name or checkpoint folder: what fits of its weights, name and shape, is where step 0 begins."""
    back_projection: int = Field(0, ge=0, le=MAX_BACK_PROJECTION)
    """Steps of it between the generator and the losses: what is trained is then what a run publishes with as many. An
    LR that optics have blurred is no mean of the true HR, and a generator that knows of the step makes up for it."""
    slice_profile: SliceProfile = "box"
    """Of volumes: what back-projection takes a slice of the LR for, here and where a run is told nothing else."""
    losses: Mapping[LossName, Annotated[float, Field(gt=0)]] = Field(default={"l1": 1.0}, min_length=1)
    """Weights; their sum is what goes down."""
    adversarial: Adversarial | None = None
    degradation: Degradations = (Degradation(),)
    """How LR is made out of HR."""
    band_shuffle: bool = False
    """Bands that are seen together come in random order."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = Field(0.0, ge=0)
    steps: int = Field(gt=0)
    batch: int = Field(16, gt=0, le=4096)
    core_px: int | tuple[int, ...] = 48
    """LR pixels of a patch that reach the loss; the generator's halo is read around them. One number, or one an
    axis: [2, 32, 32] is two slices."""
    slab: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None = None
    """Of volumes: least and most LR slices of the slab around a patch, drawn anew; what lies beyond its ends comes by
    `edge`, as in a run. None: patches lie where their halo is in the image, too."""
    edge: Edge = "reflect"
    """What lies beyond an edge, in training by slabs and in every run of the checkpoint."""
    magnify: tuple[float, float] = (1.0, 1.0)
    """Range of what patches of slabs are enlarged by in the plane, where their LR is made: other fields of view."""
    learning_rate: float = Field(8e-4, gt=0)
    warmup_steps: int = Field(200, ge=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    gain: tuple[float, float] = (0.7, 1.4)
    offset: tuple[float, float] = (-0.2, 0.2)
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the convolutions; weights, cubic base and loss are float32. auto: bfloat16 where it is faster."""
    threads: int | None = Field(None, gt=0)
    save_every: int = Field(500, gt=0)
    log_every: int = Field(100, gt=0)
    validate_every: int | None = Field(None, gt=0)
    """Steps between validations on patches of `validation`: the checkpoint is then the best, not the last."""
    patience: int | None = Field(None, gt=0)
    """Validations without a better loss after which the run ends; None: it goes to the last step."""
    tensorboard: bool = False
    """Losses, rate and sample images, in `logs` beside the checkpoint."""
    compile: bool = False
    """Compile the generator: minutes at the start, faster steps; worth it on a GPU."""
    devices: int = Field(1, gt=0)
    """GPUs, or processes on a CPU, each with batches of its own."""
    licence: str = "Apache-2.0"
    attribution: str = ""
    """Who made the training data and under which terms; goes into the model card."""
    limits: str = ""
    """What the model is not for; goes into the model card."""
    search: Search | None = None

    @field_validator("held_out")
    @classmethod
    def _one_validation(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("validation") is not None:
            raise ValueError("exclude each other with `validation`: give one of both")
        return value

    @model_validator(mode="after")
    def _guided_is_alone(self) -> TrainConfig:
        if self.architecture.name != "guided":
            return self
        if self.back_projection or self.adversarial:
            raise ValueError("a guided generator is trained without back_projection and adversarial")
        if self.validation or self.held_out or any(source.lr for source in self.sources):
            raise ValueError("a guided generator makes its own LR, and is judged by `python -m benchmarks.guided`")
        return self

    @field_validator("core_px")
    @classmethod
    def _core_has_pixels(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        sides = value if isinstance(value, tuple) else (value,)
        if not sides or min(sides) <= 0 or max(sides) > MAX_CORE_PX:
            raise ValueError(f"must be whole numbers above 0, {MAX_CORE_PX} at most")
        return value

    @field_validator("magnify")
    @classmethod
    def _magnify_is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 1 <= value[0] <= value[1] <= 4:
            raise ValueError("must be a range within 1 to 4")
        return value

    @model_validator(mode="after")
    def _slab_has_room(self) -> TrainConfig:
        scale = self.architecture.params.get("scale")
        axes = len(scale) if isinstance(scale, list | tuple) else 2
        if isinstance(self.core_px, tuple) and len(self.core_px) != axes:
            raise ValueError("core_px has a number for each axis of the architecture's scale, or one for all")
        if self.slab and (axes != 3 or self.slab[0] > self.slab[1]):
            raise ValueError("slab is a range, least slices and most, and a generator of volumes alone has one")
        return self

    @model_validator(mode="after")
    def _held_out_is_whole(self) -> TrainConfig:
        if self.held_out and any(source.lr_names or source.lr_bands or source.bands for source in self.sources):
            raise ValueError("held_out cannot judge by sources that name bands or LR of other names: use `validation`")
        return self


def recipe_at(path: Path) -> Path:
    """The file of a recipe: `path`, or where none is there the one that ships under this name."""
    shipped = RECIPES / f"{path}.yaml"
    return shipped if not path.exists() and shipped.is_file() else path


def read_config(path: Path) -> TrainConfig:
    """The recipe in a file of strict YAML; CatalogError, with line and key, when it is not what it should be."""
    return recipe_document(path).parse(TrainConfig)


def recipe_document(path: Path) -> Document:
    """What stands in a recipe, in strict YAML; CatalogError when it cannot be read or is not."""
    found = read_document(path)
    return replace(found, value=_as_json(found.value))


def _as_json(value: Any) -> Any:
    """With lists instead of tuples: a spec says the architecture in JSON, and is compared with its recipe."""
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    return [_as_json(one) for one in value] if isinstance(value, tuple) else value


def parse_config(document: Any, where: str) -> TrainConfig:
    """`document` as a recipe; CatalogError names `where` and the key."""
    try:
        return TrainConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CatalogError(f"{where} is not a training recipe", f"{key}: {first['msg']}", f"correct {key}") from error


def data_folder(path: Path) -> Path:
    """`path` as an existing folder, taken below $SRCORE_DATA (default ../shared) when relative.

    SourceError when there is none.
    """
    root = Path(os.environ.get(DATA_VARIABLE, Path(__file__).parents[2].parent / "shared"))
    folder = path if path.is_absolute() else root / path
    if not folder.is_dir():
        raise SourceError(
            "the data folder is absent",
            str(folder),
            f"set {DATA_VARIABLE} to the folder that holds it",
            code="NOT_READABLE",
        )
    return folder
