"""The key `source` where the scenes lie elsewhere: a bucket, a web address, a search in a STAC catalog.

    source: s3://bucket/prefix/*.tif          # gs://, az:// too; {scene} and {band} as in a folder
    source: s3://bucket/prefix/*.SAFE         # folders of a provider, a scene each
    source: https://host/path/scene.tif       # one file: the web has no lists
    source: {stac: https://host/v1, collections: [sentinel-2-l2a], bbox: [7, 46, 8, 47], datetime: 2024-06-01/..}

No secret stands here: keys, tokens and what signs links come from the environment (docs/sources.md).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator

from srcore.catalog.keys import WILD, absolute, template
from srcore.catalog.object_stores import BUCKETS

WEB = ("https", "http")
_REMOTE = re.compile(rf"({'|'.join((*BUCKETS, *WEB))})://", re.IGNORECASE)
MOST_ITEMS = 10_000
"""Items that a search may give, by default."""
COMPARISONS = ("eq", "neq", "lt", "lte", "gt", "gte", "in", "startsWith", "endsWith", "contains")


def is_remote(value: str) -> bool:
    """Whether a text is an address that srcore reads over a network."""
    return _REMOTE.match(value) is not None


def address(value: str) -> str:
    """An address without secrets in it."""
    parts = urlsplit(value)
    blank = "" if parts.scheme in WEB else " "  # in a key of a bucket it stands as it is
    if not parts.netloc or any(ord(sign) < 33 and sign != blank for sign in value):
        what = "an address is needed, as in s3://bucket/folder/*.tif or https://host/scene.tif"
        raise ValueError(f"{what}; on the web a blank is %20")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no name or password in an address: they come from the environment, see docs/sources.md")
    return value


def remote_pattern(value: str) -> str:
    """A pattern in a bucket, or the address of one file of the web."""
    scheme = urlsplit(address(value)).scheme
    path = value.partition("://")[2].partition("/")[2]
    if scheme in WEB:
        if "?" in value or "#" in value:
            raise ValueError("what stands behind a ? is often a secret; give the plain address (docs/sources.md)")
        if WILD.search(value) or not path or path.endswith("/"):
            raise ValueError("the web has no lists: give the address of one file, or a STAC catalog as {stac: ADDRESS}")
        return value
    if not path or path.endswith("/") or WILD.search(urlsplit(value).netloc):
        raise ValueError("files of a bucket are needed, as in s3://bucket/folder/*.tif")
    if "{patient}" in value or "{series}" in value:
        raise ValueError("{patient} and {series} are folders of DICOM, and those are read from disks alone")
    template(path)
    return value


def source_text(value: str) -> str:
    """A pattern of files, here or elsewhere."""
    return remote_pattern(value) if is_remote(value) else template(value)


def stac_address(value: str, info: ValidationInfo) -> str:
    """A STAC document: of the web, of a bucket, or a file."""
    if not is_remote(value):
        return absolute(value, info)
    if "?" in value or "#" in value:
        raise ValueError("give the plain address; what narrows the search are keys beside it")
    return address(value).rstrip("/")


def _moment(text: str) -> datetime | None:
    """A time, or the first one of a day, a month or a year; None where the calendar has none."""
    whole = text if len(text) > len("2024-06") else f"{text}-01-01"[: len("2024-06-01")]
    try:
        found = datetime.fromisoformat(whole)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


class Stac(BaseModel):
    """A search: the items that it gives are the scenes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stac: Annotated[str, AfterValidator(stac_address)]
    """An API, or a catalog, collection, item, item collection or stac-geoparquet as a file."""
    collections: tuple[str, ...] = ()
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees; west above east: across the date line."""
    datetime: str | None = Field(default=None, min_length=4)
    """A time or FROM/TO, each RFC 3339, a day, or '..' for no end."""
    query: dict[str, dict[str, Any]] | None = None
    """Property to comparisons, as in {eo:cloud_cover: {lt: 20}}."""
    assets: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Which assets a scene is made of, by their keys; None: those that hold its `bands`, or the only one."""
    most: int = Field(default=MOST_ITEMS, ge=1, le=1_000_000)
    """A search that gives more is refused: it is seldom meant."""

    def __str__(self) -> str:
        return f"{{stac: {self.stac}}}"

    @field_validator("bbox")
    @classmethod
    def _check_bbox(cls, value: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if value is None:
            return value
        west, south, east, north = value
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90 and west != east):
            raise ValueError("west, south, east, north in degrees are needed")
        return value

    @field_validator("datetime")
    @classmethod
    def _check_datetime(cls, value: str | None) -> str | None:
        end = r"(\d{4}(-\d\d(-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?)?)?|\.\.)"
        if value is None:
            return value
        fine = re.fullmatch(rf"{end}(/{end})?", value) and value not in ("..", "../..")
        ends = [_moment(one) for one in value.split("/") if one != ".."] if fine else [None]
        if None in ends or (len(ends) == 2 and ends[0] > ends[1]):  # type: ignore[operator]
            raise ValueError("a time or FROM/TO is needed, as in 2024-06-01/2024-06-30 or 2024-06-01/..")
        return value

    @field_validator("query")
    @classmethod
    def _check_query(cls, value: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        unknown = [word for each in (value or {}).values() for word in each if word not in COMPARISONS]
        if unknown:
            raise ValueError(f"no comparison is called {unknown[0]!r}; known are {', '.join(COMPARISONS)}")
        return value


class Narrowed(Stac):
    """A search that asks for less than its words do, as those who look for the ground of other scenes."""

    whole: Stac
    """As it stands in the catalog: by this one its cards are filed, or each new ground would file them anew."""


TEXT, SEARCH = "[files]", "[search]"
"""The two forms of a source."""


def _form_of(value: Any) -> str:
    return TEXT if isinstance(value, str) else SEARCH


Source = Annotated[
    Annotated[str, AfterValidator(source_text), Tag(TEXT)] | Annotated[Stac, Tag(SEARCH)], Discriminator(_form_of)
]
"""The value of the key: a pattern of files, here or in a bucket, or a search."""

NameOrSearch = Annotated[Annotated[str, Tag(TEXT)] | Annotated[Stac, Tag(SEARCH)], Discriminator(_form_of)]
"""Another dataset by its name, or a search that needs no entry of its own."""
