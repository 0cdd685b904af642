"""The catalog: WHAT data there is, one entry a dataset. Reads one YAML file; otherwise pure.

version: 1
store: ./archive                      # products, receipts and quarantine; relative to the catalog's folder
datasets:
  s2-alps:
    kind: raster                      # raster | volume
    source: ./incoming/s2/*.tif       # one file a scene; {scene}_{band}.tif joins files of one band each
    model: srcore-x2
    schedule: "0 2 * * *"
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from srcore.checkpoints import CHAMPION
from srcore.choices import BACK_PROJECTION, MAX_BACK_PROJECTION, MAX_DENOISE, MAX_SHARPEN, AlphaRule, ValuesRule
from srcore.documents import read_document
from srcore.errors import CatalogError
from srcore.layout import SAFE_ID, check_date
from srcore.limits import LIMITS, Changes, LimitChange
from srcore.treatment import Treatment

Output = Literal["cog", "nifti", "stac", "report", "quicklook", "trust"]
OUTPUTS: dict[str, tuple[Output, ...]] = {
    "raster": ("cog", "stac", "report", "quicklook", "trust"),
    "volume": ("nifti", "report", "quicklook", "trust"),
}
"""What can be published of a scene of each kind; the first one is the data and always is."""
Reprocess = Literal["never", "new", "all"]
ON_DEMAND: frozenset[Output] = frozenset({"trust"})
"""What is published only where a dataset names it: eight times the work."""

MIN_TILE, MAX_TILE = 32, 4096
WILD = re.compile(r"[*?\[{]")
"""What makes a part of a source more than a name."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/vsi")
_BAND = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_BAND_IN_NAME = re.compile(r"[^/\\*?\[\]{}]+")


def _local(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("a path is needed")
    if _URL.match(value):
        raise ValueError("only local files and folders are read at present; give a path")
    return value


def _absolute(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path())
    return os.path.abspath(base / _local(value))


def _model(value: str, info: ValidationInfo) -> str:
    """A built-in name stays; a path becomes absolute, so that it means the same in every process."""
    if not value.strip():
        raise ValueError("a model is needed")
    return _absolute(value, info) if re.search(r"[/\\]", value) else value


def _template(value: str) -> str:
    """A glob, perhaps with {scene} and {band}."""
    rest = _local(value).replace("{scene}", "").replace("{band}", "")
    if "{" in rest or "}" in rest:
        raise ValueError("only {scene} and {band} are known between braces")
    if value.count("{band}") > 1:
        raise ValueError("{band} can stand once")
    parts = value.split("/")
    wild = next((i for i, part in enumerate(parts) if WILD.search(part)), len(parts))
    if ".." in parts[wild:]:
        raise ValueError(".. can only stand before the first wildcard")
    return value


def _glob(value: str) -> str:
    """A glob of files, without {scene} and {band}."""
    if "{" in value or "}" in value:
        raise ValueError("a glob is needed; {scene} and {band} stand in source alone")
    if value.endswith("/"):
        raise ValueError("a glob of files is needed, as in cloudy-*.tif or ./in/old/*.tif")
    return _template(value)


def _date(value: str) -> str:
    """A date, or a pattern of names that finds one."""
    check_date(value)
    return value


def _cron(value: str | None) -> str | None:
    """Five fields that come due."""
    if value is None:
        return value
    if len(value.split()) != 5:
        raise ValueError("a schedule has five fields (minute hour day month weekday), as in '0 2 * * *'")
    try:
        next(CronSim(value, datetime(2024, 1, 1)))
    except (CronSimError, ValueError, StopIteration) as error:
        raise ValueError(f"not a cron expression that comes due: {str(error)[:60]}") from error
    return value


def _expression(value: str) -> str:
    """A regular expression of some length."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if not value:
        raise ValueError("is empty; leave the key out")
    return value


def _only_raster(key: str, info: ValidationInfo) -> None:
    if info.data.get("kind") == "volume":
        raise ValueError(f"a volume has no {key}; take the key out")


class Retrain(BaseModel):
    """How a dataset's model gets better: a challenger is trained on its scenes, and promoted if it is better."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schedule: Annotated[str | None, AfterValidator(_cron)] = None
    """Cron expression of five fields, in the dataset's `timezone`; None: only when asked."""
    recipe: Annotated[str, AfterValidator(_absolute)] | None = None
    """YAML file with keys of a training recipe: steps, batch, learning_rate, losses and the like; what is trained on
    what, and from where, is given. None: a short fine-tuning."""
    hold_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of the places that are never trained on, raised to ten where that is at most half of them: champion and
    challenger are compared there."""
    place: Annotated[str, AfterValidator(_expression)] | None = None
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

    hr: str | None = None
    """Another dataset of the catalog, whose scenes of the same ground and time are the HR; None: those of `hr`."""
    within_days: float = Field(default=16, ge=0)
    """HR and LR were taken at most so many days apart, where both dates are known."""
    bands: dict[str, str] | None = None
    """Bands of this dataset to those of the HR that show the same, as {B8A: B08}; None: all, which must be the same."""
    sensor: Literal["same", "other"] = "same"
    """Whether one sensor took both: then they have to look alike by 0.9, else by 0.7."""
    fit: bool = False
    """The HR's numbers are fitted to the LR's by a gain and an offset; false: a pair that needs it is refused."""
    schedule: Annotated[str | None, AfterValidator(_cron)] = None
    """Cron expression of five fields, in the dataset's `timezone`, of collecting; None: only when asked."""


class Dataset(BaseModel):
    """One entry of the catalog: scenes of one sort, and what to make of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["raster", "volume"]
    source: Annotated[str, AfterValidator(_template)]
    """Glob of the scenes; a relative one starts at the catalog's folder. See `storage.archive.sources`."""
    exclude: tuple[Annotated[str, AfterValidator(_glob)], ...] = ()
    """Scenes to leave out: globs of file names, or with a / of paths that start where `source` does."""
    bands: tuple[str, ...] | None = Field(default=None, validate_default=True)
    """Bands in the order of the product, by their names in the file; all when None. The values of {band}."""
    nodata: float | None = None
    """DN that means 'nothing here', for files that do not say it themselves."""
    alpha: AlphaRule = "auto"
    """What a band means that is called alpha: mask hides the others where it is 0; data is a band like any other, as
    near infrared behind red, green, blue; auto: its values tell, and what they do not tell is refused."""
    values: ValuesRule | dict[str, ValuesRule] = "auto"
    """What the numbers are, of all bands or of each by its name: continuous; categorical, bits or circular (angles), of
    which each SR pixel is the LR pixel that it lies in; auto: what the file says, and what they look like."""
    valid_range: tuple[float | None, float | None] | None = None
    """[least, greatest] stored number that the SR may have; null: no end, as in [0, null]."""
    date: Annotated[str, AfterValidator(_date)] | None = None
    """When its scenes were taken (2023-06-02), or where their names say it: scene_YYYYMMDD_*.tif, YYYY-MM-DD/*, with MM
    and DD or DDD, the day's number, and maybe hh, mm, ss; in UTC. None: what tags and names of known products say."""
    model: Annotated[str, AfterValidator(_model)]
    """Built-in name, checkpoint folder, or a model of the registry as NAME@champion."""
    schedule: Annotated[str | None, AfterValidator(_cron)] = None
    """Cron expression of five fields, in `timezone`; None: only when asked."""
    timezone: str = "UTC"
    tile: Literal["auto"] | int = "auto"
    """Core of a tile in LR pixels, an even number, that goes up to whole blocks of the product; auto: from the model
    and the memory."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """What the generator computes in; auto: what the model was verified in, where the device has it. int8 costs some
    quality for speed and needs srcore[openvino]."""
    back_projection: int = Field(default=BACK_PROJECTION, ge=0, le=MAX_BACK_PROJECTION)
    """Steps that make the SR, averaged down, give the LR back; 0: the generator's own numbers."""
    denoise: float = Field(default=0.0, ge=0, le=MAX_DENOISE)
    """What is taken out of the LR before the generator, in units of the noise that is found in it: 1 is a good start
    for noisy scenes; 0: nothing."""
    sharpen: float = Field(default=0.0, ge=0, le=MAX_SHARPEN)
    """Amount of unsharp masking of the SR, behind the generator; 0: none. What it exaggerates stops the product."""
    checks: dict[str, LimitChange] = Field(default_factory=dict)
    """Check id to this dataset's own `warn` and `gate`; the others keep those of `srcore.limits`."""
    privacy: Literal["public", "restricted"] = "public"
    """restricted: no picture of the scene is made or shown, and nothing is learned from it."""
    products: tuple[Output, ...] | None = Field(default=None, validate_default=True)
    """What is published; everything that the kind has when None, but for the trust map."""
    roots: tuple[Annotated[str, AfterValidator(_absolute)], ...] = ()
    """Further folders that links below the source may lead to; without them a link that leaves the source's folder, the
    part before its first wildcard, is refused."""
    audit_days: int | None = Field(default=30, ge=1)
    """Nightly runs read a share of the products again, so that all are compared with their receipts within so many
    days; null: only `srcore audit` does."""
    hr: Annotated[str, AfterValidator(_template)] | None = None
    """Folder or glob with the true HR of the scenes, by the same names: the gain over bicubic is measured with it."""
    reprocess: Reprocess = "never"
    """What another champion of `model` makes due again: never, no product; new, those of files of the last 30 days;
    all of them. What comes, changes, or has no product yet is made by the champion of the day in any case."""
    pairs: Pairs | None = None
    """What `srcore pairs` and a retraining take for pairs; None: those of `hr`, of one sensor."""
    retrain: Retrain | None = None
    """Training of better models on these scenes; the pairs are those of `hr`, else the scenes themselves, shrunk."""

    @property
    def measured(self) -> bool:
        """True where the HR of its scenes was taken by a sensor; else the scenes themselves are HR, and are shrunk."""
        return self.hr is not None or (self.pairs is not None and self.pairs.hr is not None)

    @property
    def treatment(self) -> Treatment:
        """What is done to the numbers of its scenes beside the generator."""
        return Treatment(
            **{field.name: getattr(self, field.name) for field in fields(Treatment) if field.name != "trust"}
        )

    @property
    def limits(self) -> Changes:
        """Its changes of the checks' limits, as plain values."""
        return {name: change.model_dump(exclude_unset=True) for name, change in self.checks.items()}

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What a run publishes of each scene, the data first."""
        wanted = self.products or tuple(one for one in OUTPUTS[self.kind] if one not in ON_DEMAND)
        return tuple(one for one in wanted if self.privacy == "public" or one != "quicklook")

    @field_validator("checks")
    @classmethod
    def _check_limits(cls, value: dict[str, LimitChange]) -> dict[str, LimitChange]:
        unknown = sorted(set(value) - set(LIMITS))
        if unknown:
            raise ValueError(f"no check has limits under {unknown[0]!r}; known are {', '.join(LIMITS)}")
        return value

    @field_validator("pairs")
    @classmethod
    def _check_pairs(cls, value: Pairs | None, info: ValidationInfo) -> Pairs | None:
        if value is not None and value.hr is not None and info.data.get("hr") is not None:
            raise ValueError("the HR is either that of `hr` or another dataset; take one out")
        if value is not None and value.bands is not None:
            _only_raster("bands", info)
            if not value.bands:
                raise ValueError("bands are empty; leave the key out")
        return value

    @field_validator("retrain")
    @classmethod
    def _check_retrain(cls, value: Retrain | None, info: ValidationInfo) -> Retrain | None:
        if value is not None and not str(info.data.get("model", f"x@{CHAMPION}")).endswith(f"@{CHAMPION}"):
            raise ValueError(f"only a model NAME@{CHAMPION} can be retrained: a promotion has to reach the scenes")
        if value is not None and "trust" in (info.data.get("products") or ()):
            raise ValueError("a retrained model is not calibrated for a trust map; take trust out of products")
        return value

    @field_validator("bands")
    @classmethod
    def _check_bands(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        grouped = "{band}" in info.data.get("source", "")
        if value is None:
            if grouped:
                raise ValueError("a source with {band} needs the list of bands")
            return value
        _only_raster("bands", info)
        if not value or len(set(value)) < len(value) or not all(_BAND.fullmatch(band) for band in value):
            raise ValueError("one or more different band names are needed")
        if grouped and not all(_BAND_IN_NAME.fullmatch(band) for band in value):
            raise ValueError("a band that stands for {band} cannot hold / \\ * ? [ ] { }")
        return value

    @field_validator("hr")
    @classmethod
    def _check_hr(cls, value: str | None) -> str | None:
        if value is not None and "{band}" in value:
            raise ValueError("the true HR is one file a scene, without {band}")
        return value

    @field_validator("date")
    @classmethod
    def _check_date(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            _only_raster("date", info)
        return value

    @field_validator("alpha")
    @classmethod
    def _check_alpha(cls, value: str, info: ValidationInfo) -> str:
        if value != "auto":
            _only_raster("alpha", info)
        return value

    @field_validator("valid_range")
    @classmethod
    def _check_range(cls, value: tuple[float | None, float | None] | None) -> tuple[float | None, float | None] | None:
        ends = [end for end in value or () if end is not None]
        if value is not None and (not ends or ends != sorted(set(ends)) or not all(map(isfinite, ends))):
            raise ValueError("[least, greatest] is needed, of which one may be null")
        return value

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError("not a time zone of the IANA list, as in Europe/Zurich") from error
        return value

    @field_validator("tile", mode="wrap")
    @classmethod
    def _check_tile(cls, value: Any, _handler: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value == "auto" or (whole and value % 2 == 0 and MIN_TILE <= value <= MAX_TILE):
            return value
        raise ValueError(f"auto or an even number from {MIN_TILE} to {MAX_TILE} is needed")

    @field_validator("products")
    @classmethod
    def _check_products(cls, value: tuple[Output, ...] | None, info: ValidationInfo) -> tuple[Output, ...] | None:
        kind = info.data.get("kind")
        if value is None or kind is None:
            return value
        known = OUTPUTS[kind]
        if known[0] not in value or len(set(value)) < len(value) or not set(value) <= set(known):
            raise ValueError(f"a {kind} has {', '.join(known)}, each once, and never goes without {known[0]}")
        if "trust" in value and (info.data.get("denoise") or info.data.get("sharpen")):
            raise ValueError("a trust map holds without filters; take denoise and sharpen out, or trust")
        if "quicklook" in value and info.data.get("privacy") == "restricted":
            raise ValueError("a restricted dataset has no quicklook; take it out")
        return tuple(one for one in known if one in value)


class Catalog(BaseModel):
    """All datasets, and the store that their products go to."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    store: Annotated[str, AfterValidator(_absolute)]
    """Folder of the products, absolute once loaded."""
    datasets: dict[str, Dataset] = Field(min_length=1)

    _base: Path = PrivateAttr(default_factory=Path)

    @property
    def base(self) -> Path:
        """The catalog's folder, where relative sources start."""
        return self._base

    @field_validator("datasets", mode="before")
    @classmethod
    def _check_names(cls, value: Any) -> Any:
        names = list(value) if isinstance(value, dict) else []
        for name in names:
            if not isinstance(name, str) or not SAFE_ID.fullmatch(name):
                raise ValueError(
                    f"dataset name {str(name)[:60]!r}: letters, digits, '.', '_' and '-' only, at most 128"
                )
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError("two datasets differ only in upper and lower case")
        return value

    @model_validator(mode="after")
    def _check_hr_datasets(self) -> Catalog:
        for name, entry in self.datasets.items():
            other = entry.pairs.hr if entry.pairs else None
            if other is not None and (other == name or other not in self.datasets):
                known = ", ".join(one for one in self.datasets if one != name)
                raise ValueError(f"pairs of {name}: hr is {other!r}; another dataset is needed, of {known or 'none'}")
            if other is not None and self.datasets[other].kind != entry.kind:
                raise ValueError(f"pairs of {name}: {other} is a {self.datasets[other].kind}, {name} a {entry.kind}")
        return self

    def hr_of(self, name: str) -> Dataset | None:
        """The dataset whose scenes are the HR of another's; None where that has none."""
        pairs = self.dataset(name).pairs
        return None if pairs is None or pairs.hr is None else self.datasets[pairs.hr]

    def dataset(self, name: str) -> Dataset:
        """The entry of that name; CatalogError when there is none."""
        if name not in self.datasets:
            raise CatalogError(f"unknown dataset {name!r}", ", ".join(self.datasets), "use one of these")
        return self.datasets[name]


def load_catalog(path: Path) -> Catalog:
    """The catalog in `path`; CatalogError, in one line with file, line and key, when it is not one."""
    base = path.absolute().parent
    catalog = read_document(path).parse(Catalog, {"base": base})
    catalog._base = base
    return catalog


def catalog_schema() -> dict[str, Any]:
    """JSON Schema of a catalog, for editors and for checks elsewhere."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Catalog.model_json_schema()}
