"""The recipe of a training run: one YAML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from srcore.checkpoints import Architecture
from srcore.errors import CatalogError, SourceError

RECIPES = Path(__file__).parent / "recipes"
DATA_VARIABLE = "SRCORE_DATA"


class Source(BaseModel):
    """A group of files and its share of the training patches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: str
    """Glob below the data folder."""
    share: float = Field(gt=0)
    """Relative to the other sources; within a source, patches are drawn evenly over all pixels of all bands."""


class TrainConfig(BaseModel):
    """What a generator is trained on, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    data: Path
    """Folder of HR images; relative to the folder that SRCORE_DATA names."""
    validation: Path | None = None
    """Folder of HR images of other places, scored at the end of the run; relative as `data`."""
    output: Path
    """The checkpoint folder; the state for going on lies beside the checkpoint."""
    sources: tuple[Source, ...] = Field(min_length=1)
    architecture: Architecture
    start_from: str | None = None
    """A built-in name or checkpoint folder: what fits of its weights, name and shape, is where step 0 begins."""
    steps: int = Field(gt=0)
    batch: int = Field(16, gt=0)
    core_px: int = Field(48, gt=0)
    """LR pixels of a patch that reach the loss; the generator's halo is read around them."""
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
    licence: str = "Apache-2.0"
    attribution: str = ""
    """Who made the training data and under which terms; goes into the model card."""
    limits: str = ""
    """What the model is not for; goes into the model card."""


def read_config(path: Path) -> TrainConfig:
    """The recipe in a YAML file; CatalogError, naming the key, when it is not what it should be."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise CatalogError(f"{path} cannot be read", error.strerror or "", "give a training recipe") from error
    except yaml.YAMLError as error:
        raise CatalogError(f"{path} is not YAML", str(error), "correct it") from error
    return parse_config(document, str(path))


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
        raise SourceError("the data folder is absent", str(folder), f"set {DATA_VARIABLE} to the folder that holds it")
    return folder
