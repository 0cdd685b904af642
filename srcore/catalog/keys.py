"""What a value of the catalog has to look like: paths, globs, dates, schedules. Pure; ValueError says what is wrong."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError
from pydantic import ValidationInfo

from srcore.catalog.object_stores import checked_address, is_address, place_of
from srcore.layout import check_date

WILD = re.compile(r"[*?\[{]")
"""What makes a part of a source more than a name."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/vsi")
BAND = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
LEAST_REASON, MOST_REASON = 10, 300
BAND_IN_NAME = re.compile(r"[^/\\*?\[\]{}]+")


def local(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("a path is needed")
    if _URL.match(value):
        raise ValueError("only local files and folders are read at present; give a path")
    return value


def store_place(value: str, info: ValidationInfo) -> str:
    """The folder of a store; of an object store the one that stands for it here."""
    if is_address(value):
        return str(place_of(checked_address(value)))
    if _URL.match(value):
        raise ValueError("a folder is needed, or the address of an object store: s3://, gs:// or az://")
    return absolute(value, info)


def absolute(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path())
    return os.path.abspath(base / local(value))


def model_reference(value: str, info: ValidationInfo) -> str:
    """A built-in name stays; a path becomes absolute, so that it means the same in every process."""
    if not value.strip():
        raise ValueError("a model is needed")
    return absolute(value, info) if re.search(r"[/\\]", value) else value


def template(value: str) -> str:
    """A glob, perhaps with {scene} and {band}; {patient} and {series} are folders of DICOM, and stand in no id."""
    rest = re.sub(r"\{(scene|band|patient|series)\}", "", local(value))
    if "{" in rest or "}" in rest:
        raise ValueError("only {scene} and {band} are known between braces, and {patient} and {series} of DICOM")
    if value.count("{band}") > 1:
        raise ValueError("{band} can stand once")
    parts = value.split("/")
    wild = next((i for i, part in enumerate(parts) if WILD.search(part)), len(parts))
    if ".." in parts[wild:]:
        raise ValueError(".. can only stand before the first wildcard")
    return value


def file_glob(value: str) -> str:
    """A glob of files, without {scene} and {band}."""
    if "{" in value or "}" in value:
        raise ValueError("a glob is needed; {scene} and {band} stand in source alone")
    if value.endswith("/"):
        raise ValueError("a glob of files is needed, as in cloudy-*.tif or ./in/old/*.tif")
    return template(value)


def glob_below(value: str) -> str:
    """A glob of files below a folder that another key names."""
    parts = file_glob(value).split("/")
    if value.startswith("/") or any("**" in part and part != "**" for part in parts):
        raise ValueError("a glob below the data folder is needed, as in train/*.tif; ** stands alone between slashes")
    return value


def date_rule(value: str) -> str:
    """A date, or a pattern of names that finds one."""
    check_date(value)
    return value


def cron(value: str | None) -> str | None:
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


def clock(value: str | None) -> str | None:
    """Hours and minutes."""
    if value is not None and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('a time from "00:00" to "23:59" is needed')
    return value


def expression(value: str) -> str:
    """A regular expression of some length."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if not value:
        raise ValueError("is empty; leave the key out")
    return value


def reason(value: Any) -> str | None:
    """Words in one line; `true` is none."""
    told = " ".join(value.split()) if isinstance(value, str) else ""
    if value is not None and not LEAST_REASON <= len(told) <= MOST_REASON:
        raise ValueError(
            f"a reason in {LEAST_REASON} to {MOST_REASON} characters is needed, as in release: consent for research, "
            "vote 12/2026; cards of models carry it"
        )
    return None if value is None else told


def only_raster(key: str, info: ValidationInfo) -> None:
    if info.data.get("kind") == "volume":
        raise ValueError(f"a volume has no {key}; take the key out")
