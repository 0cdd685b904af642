"""The document of a STAC item: valid, and whole or not there.

Valid by STAC's own schemas and by ours, without a network; looked at when it is written, read back and tagged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pystac
from jsonschema_rs import Draft7Validator
from pystac.validation.local_validator import get_local_schema_cache

from srcore.errors import StoreError
from srcore.storage.disk.files import write_atomic

ITEM = f"https://schemas.stacspec.org/v{pystac.get_stac_version()}/item-spec/json-schema/item.json"
TAGS = frozenset({"srcore:verdict", "srcore:failed_checks"})
"""Properties that are added when the checks are done."""
RING = 4
"""Points that GeoJSON wants of a ring at least."""


def write_item(path: Path, item: pystac.Item) -> None:
    """Validate an item and write it to `path`, whole or not at all."""
    validate_item(item)
    text = json.dumps(_plain(item), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def tag_item(path: Path, properties: Mapping[str, Any]) -> str:
    """Add properties, their names beginning with 'srcore:', to the item at `path`, whole or not at all; its sha256."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        what = f"the STAC item {path.name} cannot be read"
        raise StoreError(what, str(error), "run again") from error
    document["properties"].update(properties)
    validate_item(document)
    content = (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def validate_item(item: pystac.Item | Mapping[str, Any]) -> None:
    """Raise StoreError (BAD_STAC) unless an item is valid: by STAC's own schemas, as pystac carries them, and by ours.

    No network. pystac carries no schemas of extensions; ours says what we use of them.
    """
    document = _plain(item) if isinstance(item, pystac.Item) else dict(item)
    error = _first_error(json.dumps(_judged(document), sort_keys=True))
    if error is not None:
        error = _first_error(json.dumps(document, sort_keys=True)) or error  # its place in the whole item
        raise StoreError(f"the STAC item is not valid at {error[0]}", error[1], code="BAD_STAC")


def _judged(document: Mapping[str, Any]) -> dict[str, Any]:
    """What schemas say something of: of the properties TAGS none of them does, and of a ring all says of each point
    the same, so that four plain ones stand for the rest."""
    found, properties, outline = dict(document), document.get("properties"), document.get("geometry")
    if isinstance(properties, dict):
        found["properties"] = {name: value for name, value in properties.items() if name not in TAGS}
    if isinstance(outline, dict) and "coordinates" in outline:
        found["geometry"] = {**outline, "coordinates": _thinned(outline["coordinates"])}
    return found


def _thinned(coordinates: Any) -> Any:
    """Lists of points without the plain ones behind the fourth; whatever else is there stays for the schema to see."""
    if not isinstance(coordinates, list):
        return coordinates
    plain = [is_point(one) for one in coordinates]
    kept, points = [], 0
    for one, simple in zip(coordinates, plain, strict=True):
        points += simple
        if not simple or points <= RING:
            kept.append(one if simple else _thinned(one))
    return kept


def is_point(value: Any) -> bool:
    """True for a list of two floats."""
    return isinstance(value, list) and len(value) == 2 and all(type(number) is float for number in value)


@lru_cache(maxsize=8)  # an item is validated when it is written, read back and tagged
def _first_error(text: str) -> tuple[str, str] | None:
    document = json.loads(text)
    for validator in _validators():
        for error in validator.iter_errors(document):
            where = "/".join(str(part) for part in error.instance_path) or "the item"
            return where, error.message[:300]
    return None


@cache
def _validators() -> tuple[Draft7Validator, ...]:
    schemas = get_local_schema_cache()
    ours = json.loads(files("srcore.storage").joinpath("schemas/product.json").read_text(encoding="utf-8"))
    # formats are not looked at: file names in any alphabet are hrefs
    return tuple(
        Draft7Validator(one, retriever=schemas.__getitem__, validate_formats=False) for one in (schemas[ITEM], ours)
    )


def _plain(item: pystac.Item) -> dict[str, Any]:
    value: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return value
