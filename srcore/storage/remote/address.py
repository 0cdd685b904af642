"""Addresses: what of one may be shown, how one leads to another, and whose token goes with it. Pure."""

from __future__ import annotations

import os
import posixpath
import re
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from srcore.catalog.elsewhere import BUCKETS, WEB, is_remote

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=-]+")
LONGEST = 120
"""Letters of a file's name in the cache."""


def shown(address: str) -> str:
    """The address without what may be secret: name and password, and all behind a ? or #."""
    if scheme_of(address) in BUCKETS:  # ? and # are letters of a key
        scheme, _, rest = address.partition("://")
        bucket, slash, key = rest.partition("/")
        return f"{scheme}://{bucket.rpartition('@')[2]}{slash}{key}"
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def is_signed(address: str) -> bool:
    """Whether something stands in it that is not shown."""
    return shown(address) != address


def scheme_of(address: str) -> str:
    """s3, https ...; '' of a path."""
    return address.partition("://")[0].lower() if is_remote(address) else ""


def joined(base: str, href: str) -> str:
    """Where a relative link of a document leads; `base` and the result are addresses or paths."""
    if is_remote(href) or href.startswith("file://"):
        return href
    if scheme_of(base) in WEB:
        return urljoin(base, href)
    if scheme_of(base) in BUCKETS:
        start, _, path = base.partition("://")
        bucket, _, key = path.partition("/")
        inside = posixpath.normpath(posixpath.join("/", posixpath.dirname(key), href))
        return f"{start}://{bucket}{inside}"
    return os.path.normpath(os.path.join(os.path.dirname(base), href))


def file_name(address: str) -> str:
    """A safe name for the file in the cache: the last part of the address."""
    path = address if scheme_of(address) in BUCKETS else unquote(urlsplit(address).path)
    last: str = path.rstrip("/").rpartition("/")[2]
    return _UNSAFE.sub("_", last).lstrip(".")[-LONGEST:] or "file"


def words_for(address: str, told: str) -> str:
    """Of 'HOST=WORD, HOST=WORD' the word of the address's host, or of the domain it lies in; '' for none."""
    host = (urlsplit(address).hostname or "").lower()
    for entry in filter(None, re.split(r"[,\s]+", told)):
        domain, _, word = str(entry).partition("=")
        domain = domain.lower().lstrip(".")
        if domain and (host == domain or host.endswith(f".{domain}")):
            return word
    return ""
