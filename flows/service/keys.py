"""Keys for pictures: a page without an origin of its own gets no password for them, since browsers send none.

A page that was given to who knows the password has a key for each of its scenes, good for the tiles and the pictures
of that scene alone, while the service runs.
"""

from __future__ import annotations

import hmac
import re
from secrets import compare_digest, token_bytes

from starlette.requests import Request

_SECRET = token_bytes(32)
_PICTURE = re.compile(r"([^/]+)/(?:tiles/([^/]+)/(?:[^/]+/)*|products/([^/]+)/(?:[^/]+/)?)[^/]+\.png")
"""Addresses below /store/ that a page shows."""
_SHOWN = re.compile(rb'(<img [^>]*?src="products/([A-Za-z0-9._-]+)/[^"?]+\.png)(?=")')
"""In the page of a dataset; names of scenes need no quoting in an address."""


def has_key(request: Request, address: str) -> bool:
    """Whether a request for a picture has the key of its scene."""
    found = _PICTURE.fullmatch(address)
    given = request.query_params.get("key", "").encode()
    return found is not None and compare_digest(given, key_of(found[1], found[2] or found[3]).encode())


def key_of(dataset: str, scene: str) -> str:
    """Of a scene of a dataset."""
    return hmac.new(_SECRET, f"{dataset}/{scene}".encode(), "sha256").hexdigest()


def with_keys(page: bytes, dataset: str) -> bytes:
    """The page of a dataset, its pictures with their keys."""
    return _SHOWN.sub(lambda found: found[1] + b"?key=" + key_of(dataset, found[2].decode()).encode(), page)
