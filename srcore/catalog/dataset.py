"""An entry of the catalog: scenes of one sort, and what to make of them."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from srcore.catalog.elsewhere import WEB, Source, Stac, is_remote
from srcore.catalog.keys import (
    BAND,
    BAND_IN_NAME,
    absolute,
    clock,
    cron,
    date_rule,
    file_glob,
    model_reference,
    only_raster,
    reason,
    template,
)
from srcore.catalog.learning import Pairs, Retrain
from srcore.catalog.mosaic import Mosaic
from srcore.catalog.products import Output, in_order, usual
from srcore.catalog.quality import Quality
from srcore.catalog.watching import Watch
from srcore.checkpoints import CHAMPION
from srcore.choices import (
    MAX_BACK_PROJECTION,
    MAX_DENOISE,
    MAX_SHARPEN,
    AlphaRule,
    Identity,
    Modality,
    Privacy,
    Resample,
    SliceProfile,
    ValuesRule,
)
from srcore.limits import LIMITS, Changes, LimitChange
from srcore.treatment import Treatment

Reprocess = Literal["never", "new", "all"]
MIN_TILE, MAX_TILE = 32, 4096
UNSAID: Any = object()
"""Of a key whose default depends on others; no document can hold it."""
NO_QUICKLOOK = "a restricted dataset has no quicklook; take it out"


class Concurrency(BaseModel):
    """How much of a dataset is done at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    scenes: int = Field(default=1, ge=1, le=64)
    """Whole scenes side by side: one is ingested and validated while another computes."""


class Dataset(BaseModel):
    """One entry of the catalog: scenes of one sort, and what to make of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["raster", "volume"]
    title: str | None = Field(default=None, min_length=1, max_length=200)
    """What people call it, in the archive's STAC catalog; None: its name."""
    licence: str = Field(default="other", pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$")
    """Of its products: an SPDX identifier, as CC-BY-4.0, or other."""
    source: Source
    """Glob of the scenes; a relative one starts at the catalog's folder. See `storage.archive.sources`. Or where they
    lie elsewhere: s3://bucket/folder/*.tif, gs://, az://, https://host/scene.tif, {stac: ADDRESS, collections, bbox,
    datetime, query}."""
    mosaic: Mosaic | None = None
    """Which files are one scene: {group: "{scene}_*.tif", order: newest | first}; None: each is one."""
    exclude: tuple[Annotated[str, AfterValidator(file_glob)], ...] = ()
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
    quality: Quality | None = None
    """A layer of clouds, shadow and the like: of the provider, or a mask; None: none is looked at."""
    series: Annotated[str, Field(pattern=r"^[0-9a-f.]{1,64}$")] | None = None
    """Which DICOM series of each scene's folder, by its UID or the name that it is listed by; None: the only one."""
    volume: Annotated[str, Field(pattern=r"^[A-Za-z]{1,40} *= *[A-Za-z0-9.+_-]{1,40}$")] | None = None
    """Which volume of a DICOM series that holds several (times, echoes, b-values), by the tag that tells them apart:
    EchoTime=30; of a NIfTI of four axes by its number from 1: Volume=1. Each is a dataset of its own; None: the only
    one."""
    resample: Resample | None = None
    """What is made of a DICOM series that is refused by default: even, where its slices are unevenly spaced; untilt,
    straight and even, where the gantry was tilted. Linear, and said in product, report and receipt."""
    modality: Modality | None = None
    """What its volumes are of, where the files do not say it, as no NIfTI does: of a CT every number is HU, for checks,
    pictures and report; null: a NIfTI is taken for a CT where its least number is that of air (-1100 to -900)."""
    identity: Identity = "remove"
    """Of a derived DICOM series: remove takes out what tells of the patient, by the Basic Profile of PS3.15; keep
    leaves it, for an archive of a hospital (PACS)."""
    date: Annotated[str, AfterValidator(date_rule)] | None = None
    """When its scenes were taken (2023-06-02), or where their names say it: scene_YYYYMMDD_*.tif, YYYY-MM-DD/*, with MM
    and DD or DDD, the day's number, and maybe hh, mm, ss; in UTC. None: what tags and names of known products say."""
    model: Annotated[str, AfterValidator(model_reference)]
    """Built-in name, checkpoint folder, or a model of the registry as NAME@champion."""
    schedule: Annotated[str | None, AfterValidator(cron)] = None
    """Cron expression of five fields, in `timezone`; None: only when asked."""
    timezone: str = "UTC"
    watch: Watch | bool = False
    """true, or {settle_s: N}: under `srcore serve` a scene whose files arrive, and then stay as they are for so many
    seconds (60), is done at once; false: by the schedule alone."""
    until: Annotated[str | None, AfterValidator(clock)] = None
    """When a run of the whole dataset ends, in `timezone`, as "06:00": it starts no scene that it would not finish by
    then, by how long its last scenes took; what is left is due in the next."""
    order: Literal["largest", "oldest", "newest"] | None = None
    """Which due scenes come first: by their pixels, or by when their files changed last; None: by their names."""
    concurrency: Concurrency = Concurrency()
    """How many scenes are done at once."""
    tile: Literal["auto"] | int = "auto"
    """Core of a tile in LR pixels, an even number, that goes up to whole blocks of the product; auto: from the model
    and the memory."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """What the generator computes in; auto: what the model was verified in, where the device has it. int8 costs some
    quality for speed and needs srcore[openvino]."""
    back_projection: int | None = Field(default=None, ge=0, le=MAX_BACK_PROJECTION)
    """Steps that make the SR, averaged down, give the LR back; 0: the generator's own numbers; None: one; three by a
    `slice_profile`, and of a model that makes slices twice finer."""
    slice_profile: SliceProfile | None = None
    """Of volumes whose slices are made finer, what a slice of the LR is of thinner ones, for back-projection and
    checks: box, their mean; cos2, cos^2 over twice its thickness, as a scanner's slices overlap; None: as the model was
    trained."""
    denoise: float = Field(default=0.0, ge=0, le=MAX_DENOISE)
    """What is taken out of the LR before the generator, in units of the noise that is found in it: 1 is a good start
    for noisy scenes; 0: nothing."""
    sharpen: float = Field(default=0.0, ge=0, le=MAX_SHARPEN)
    """Amount of unsharp masking of the SR, behind the generator; 0: none. What it exaggerates stops the product."""
    checks: dict[str, LimitChange] = Field(default_factory=dict)
    """Check id to this dataset's own `warn` and `gate`; the others keep those of `srcore.limits`."""
    privacy: Privacy = Field(default_factory=lambda: UNSAID, validate_default=True)
    """restricted, as volumes are where nothing is said: no picture of the scene is made or shown but in a volume's own
    report, which is its owner's alone; nothing is learned from it, and of a volume the id is a keyed hash, and no file
    or folder is named; hidden: the same, and no picture at all; public: none of that."""
    release: Annotated[str | None, BeforeValidator(reason)] = None
    """Why private volumes may be learned from, in words: by whose leave, for what. The card of every model that learns
    from them carries it. None: nothing is learned from them."""
    products: tuple[Output, ...] | None = Field(default=None, validate_default=True)
    """What is published; everything that the kind has when None, but for the trust map and the Zarr beside a COG."""
    roots: tuple[Annotated[str, AfterValidator(absolute)], ...] = ()
    """Further folders that links below the source may lead to; without them a link that leaves the source's folder, the
    part before its first wildcard, is refused."""
    audit_days: int | None = Field(default=30, ge=1)
    """Nightly runs read a share of the products again, so that all are compared with their receipts within so many
    days; null: only `srcore audit` does."""
    hr: Annotated[str, AfterValidator(template)] | None = None
    """Folder or glob with the true HR of the scenes, by the same names: the gain over bicubic is measured with it."""
    reprocess: Reprocess = "never"
    """What another champion of `model` makes due again: never, no product; new, those of files of the last 30 days;
    all of them. What comes, changes, or has no product yet is made by the champion of the day in any case."""
    pairs: Pairs | None = None
    """What `srcore pairs` and a retraining take for pairs; None: those of `hr`, of one sensor."""
    retrain: Retrain | None = None
    """Training of better models on these scenes; the pairs are those of `hr`, else the scenes themselves, shrunk."""

    @property
    def says_privacy(self) -> bool:
        """Whether somebody wrote whether it is private."""
        return "privacy" in self.model_fields_set

    @property
    def hides_names(self) -> bool:
        """True where no id, record or page may tell what its files are called: volumes that are not public."""
        return self.kind == "volume" and self.privacy != "public"

    @property
    def may_teach(self) -> bool:
        """Whether models may learn from its scenes: what is public, and what somebody released and said why."""
        return self.privacy == "public" or self.release is not None

    @property
    def measured(self) -> bool:
        """True where the HR of its scenes was taken by a sensor; else the scenes themselves are HR, and are shrunk."""
        return self.hr is not None or (self.pairs is not None and self.pairs.hr is not None)

    @property
    def is_remote(self) -> bool:
        """True where its scenes are fetched, or described by a STAC catalog."""
        return isinstance(self.source, Stac) or is_remote(self.source)

    @property
    def treatment(self) -> Treatment:
        """What is done to the numbers of its scenes beside the generator."""
        own = {field.name: getattr(self, field.name) for field in fields(Treatment) if field.name != "trust"}
        quality, mosaic = self.quality and self.quality.wish, self.mosaic and self.mosaic.order
        return Treatment(**{**own, "quality": quality, "mosaic": mosaic})

    @property
    def settle_s(self) -> float | None:
        """Seconds that files must stay unchanged to have arrived; None where nobody watches."""
        watch = Watch() if self.watch is True else self.watch
        return watch.settle_s if isinstance(watch, Watch) else None

    @property
    def limits(self) -> Changes:
        """Its changes of the checks' limits, as plain values."""
        return {name: change.model_dump(exclude_unset=True) for name, change in self.checks.items()}

    @property
    def form(self) -> Output:
        """What its data are written as."""
        return self.outputs[0]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What a run publishes of each scene, the data first."""
        wanted = self.products or usual(self.kind)
        return tuple(one for one in wanted if self.privacy == "public" or one != "quicklook")

    @field_validator("privacy", mode="before")
    @classmethod
    def _usual_privacy(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not UNSAID:
            return value
        return "restricted" if info.data.get("kind") == "volume" else "public"

    @field_validator("release")
    @classmethod
    def _check_release(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("kind") == "raster":
            raise ValueError("a raster is known by its file's name, which a registry of models would keep; take it out")
        if value is not None and info.data.get("privacy") == "public":
            raise ValueError("what is public needs no release; take it out, or say `privacy: restricted`")
        return value

    @model_validator(mode="after")
    def _check_quicklook(self) -> Dataset:
        # where nobody said restricted it is left out as of all volumes: an upgrade refuses no whole catalog
        if self.says_privacy and self.hides_names and "quicklook" in (self.products or ()):
            raise ValueError(NO_QUICKLOOK)
        return self

    @model_validator(mode="after")
    def _check_mosaic(self) -> Dataset:
        if self.mosaic is None:
            return self
        if self.kind != "raster" or "{band}" in str(self.source):
            raise ValueError("a mosaic is made of rasters that hold all bands each; take `mosaic` out")
        if isinstance(self.source, Stac):
            raise ValueError(
                "a STAC item is a scene of its own; give the files of several as a `source`, without a search"
            )
        if urlsplit(self.source).scheme.lower() in WEB:
            raise ValueError("the web has no lists of files; put those of a mosaic into a folder or a bucket")
        if self.is_remote and self.quality is not None:
            raise ValueError("files beside objects are not looked for; fetch those of the mosaic, or take quality out")
        return self

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
            raise ValueError("the HR is either that of `hr` or of `pairs`; take one out")
        if value is not None and isinstance(value.hr, Stac) and info.data.get("kind") == "volume":
            raise ValueError("a search is of rasters: its HR is found by the ground; give volumes by `hr`")
        if value is not None and value.bands is not None:
            only_raster("bands", info)
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
        grouped = "{band}" in str(info.data.get("source", ""))
        if value is None:
            if grouped:
                raise ValueError("a source with {band} needs the list of bands")
            return value
        only_raster("bands", info)
        if not value or len(set(value)) < len(value) or not all(BAND.fullmatch(band) for band in value):
            raise ValueError("one or more different band names are needed")
        if grouped and not all(BAND_IN_NAME.fullmatch(band) for band in value):
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
            only_raster("date", info)
        return value

    @field_validator("quality")
    @classmethod
    def _check_quality(cls, value: Quality | None, info: ValidationInfo) -> Quality | None:
        if value is not None:
            only_raster("quality", info)
        return value

    @field_validator("identity")
    @classmethod
    def _check_identity(cls, value: str, info: ValidationInfo) -> str:
        if value == "keep" and info.data.get("kind") == "raster":
            raise ValueError("a raster has no patient; take the key out")
        return value

    @field_validator("resample", "volume", "modality")
    @classmethod
    def _check_resample(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("kind") == "raster":
            raise ValueError("a raster has no slices; take the key out")
        return value

    @field_validator("alpha")
    @classmethod
    def _check_alpha(cls, value: str, info: ValidationInfo) -> str:
        if value != "auto":
            only_raster("alpha", info)
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
        if info.data.get("identity") == "keep" and "dicom" not in (value or ()):
            raise ValueError("identity: keep is of a derived DICOM series; name dicom, or take identity out")
        if value is None or kind is None:
            return value
        value = in_order(kind, value)
        if "dicom" in value and "trust" in value:
            raise ValueError("a trust map is written beside a NIfTI: take trust out, or write nifti")
        if "trust" in value and (info.data.get("denoise") or info.data.get("sharpen")):
            raise ValueError("a trust map holds without filters; take denoise and sharpen out, or trust")
        if "quicklook" in value and info.data.get("privacy") != "public" and kind == "raster":
            raise ValueError(NO_QUICKLOOK)
        return value
