"""Addresses: what of one may be shown, how one leads to another, and whose token goes with it. Pure."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

from srcore.catalog.elsewhere import WEB, is_remote
from srcore.catalog.object_stores import BUCKETS

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=-]+")
LONGEST = 120
"""Letters of a file's name in the cache."""
_SIGNS = re.compile(
    r"x-(amz|goog|ms|oss|cos|obs)-.*|.*(sig|token|expir|key|polic|cred|auth|access|secret|passw|jwt|hmac|md5|nonce).*"
    r"|s[a-z]{1,4}|rsc[a-z]",
    re.IGNORECASE,
)
"""Names behind a ? that sign a link, or say how long it is good: with others it leads to the same file."""


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


def told_apart(address: str) -> str:
    """A hash of what stands behind the ? and signs nothing, '' for nothing: with another one it is another file."""
    if scheme_of(address) not in WEB:
        return ""
    given = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    rest = sorted(one for one in given if not _SIGNS.fullmatch(one[0]))
    text = f"{shown(address)}?{urlencode(rest, errors='surrogatepass')}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] if rest else ""


def leads_inward(base: str, place: str) -> bool:
    """Whether a document or an answer of a stranger sends us to a server that trusts whoever asks from this machine."""
    return bool(scheme_of(base)) and _is_inner(place) and not _is_inner(base)


def _is_inner(address: str) -> bool:
    """Loopback, or link-local as a cloud's metadata, in whatever way the number is written."""
    host = (urlsplit(address).hostname or "").rstrip(".") if scheme_of(address) in WEB else ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found: IPv4Address | IPv6Address = ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError):  # a name
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_link_local or found.is_unspecified


def scheme_of(address: str) -> str:
    """s3, https ...; '' of a path."""
    return address.partition("://")[0].lower() if is_remote(address) else ""


def joined(base: str, href: str) -> str:
    """Where a relative link of a document leads; `base` and the result are addresses or paths."""
    if href[:7].lower() == "file://":
        return unquote(urlsplit(href).path)
    if is_remote(href):
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
