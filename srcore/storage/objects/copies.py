"""A product of an object store on this machine, for who reads files: a copy, compared with its receipt."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srcore.catalog.object_stores import checked_address, is_address
from srcore.errors import SourceError, StoreError
from srcore.storage.archive.publish import RECEIPT
from srcore.storage.disk.records import parse_json
from srcore.storage.objects.store import ObjectStore

log = logging.getLogger(__name__)


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """The file itself; of an address (s3://BUCKET/.../SCENE.tif) a copy, until the block ends.

    SourceError for an address without an object; StoreError for a copy that is not what its receipt says; AwayError.
    """
    if not is_address(str(path)):
        yield path
        return
    address = _address(path)
    folder, _, name = address.rpartition("/")
    store = ObjectStore(folder)
    with tempfile.TemporaryDirectory(prefix="srcore.") as here:
        copy = Path(here) / name
        found, wanted = store.fetch(name, copy), _published_sha256(address)
        if found is None:
            raise SourceError(
                f"{address} is not there", "no object", "see the receipt of its scene, or `srcore status`"
            )
        if wanted is None:
            log.warning("%s: no receipt names it, so nothing says whether it is whole", address)
        elif wanted != found:
            raise StoreError(f"{address} is not what was published", found, "run again", code="PRODUCT_DAMAGED")
        yield copy


def _address(path: Path) -> str:
    scheme, _, rest = str(path).partition(":")
    try:
        address = checked_address(f"{scheme}://{rest.lstrip('/')}")
    except ValueError as error:
        raise SourceError("an object cannot be read", "a malformed address", str(error)) from None
    if address.count("/") < 3:
        raise SourceError(f"{address} is no object", "a bucket", "give SCHEME://BUCKET/NAME")
    return address


def _published_sha256(address: str) -> str | None:
    """What the receipt of a product says of one of its files; None where no receipt names it."""
    parts = address.split("/")
    if len(parts) < 6:
        return None
    scene = ObjectStore("/".join(parts[:-2]))
    data = scene.get(parts[-3] + RECEIPT)
    if data is None:
        return None
    outputs = {str(one["name"]): str(one["sha256"]) for one in parse_json(data, RECEIPT).get("outputs", [])}
    return outputs.get("/".join(parts[-2:]))
