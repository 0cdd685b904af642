"""Files of buckets (s3, gs, az), by obstore. Keys come from the environment, as every tool of the provider reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, NoReturn

from srcore.errors import SourceError
from srcore.settings import load_settings
from srcore.storage.objects.client import allows_http
from srcore.storage.remote.address import shown
from srcore.storage.remote.transport import PASSING, Passing, Reply, Seen, refused

PART = 16 << 20
"""Bytes of a request: each has the whole time-out to itself."""
DECIDING = ("AWS_", "GOOGLE_", "AZURE_")
"""Begin variables of the environment: another one of these, another way to the same name."""
PROCESS = os.getpid()
"""Whose threads obstore's are: in a fork of it they do not run, and a request would wait for ever."""


def look(address: str) -> Seen:
    """Size and mark of an object."""
    obstore, (bucket, key) = _obstore(), _split(address)
    try:
        return _seen(obstore.head(_store(bucket, load_settings().remote_timeout_s), key))
    except Exception as error:
        _told(address, error)


@contextmanager
def opened(address: str, start: int, known: Seen) -> Iterator[Reply]:
    """An object's bytes from `start` on, part after part, each of the same content."""
    seen = look(address)
    if start and known.is_other(seen):
        start = 0
    yield Reply(start, seen, _parts(address, start, seen))


def listed(bucket: str, prefix: str, depth: int | None, most: int | None = None) -> Iterator[tuple[str, Seen | None]]:
    """Keys of a bucket (s3://name) at most `depth` folders below a prefix, and what they are; None: all below it, and
    `most` of them at most. Folders that are not looked into come with None."""
    obstore, store = _obstore(), _store(bucket, load_settings().remote_timeout_s)
    below: list[str] = []
    try:
        if depth is None:
            found = list(islice((meta for some in obstore.list(store, prefix=prefix or None) for meta in some), most))
        else:
            page = obstore.list_with_delimiter(store, prefix or None)
            found, below = list(page["objects"]), list(page["common_prefixes"])
    except SourceError:
        raise
    except Exception as error:
        _told(f"{bucket}/{prefix}", error)
    yield from ((meta["path"], _seen(meta)) for meta in found)
    for folder in below:
        if depth:
            yield from listed(bucket, folder, depth - 1)
        else:
            yield folder.rstrip("/"), None


def _parts(address: str, start: int, seen: Seen) -> Iterator[bytes]:
    obstore, (bucket, key) = _obstore(), _split(address)
    store = _store(bucket, load_settings().remote_timeout_s)
    size = seen.size or 0
    while start < size:
        end = min(size, start + PART)
        try:
            options: dict[str, Any] = {"range": (start, end), **({"if_match": seen.etag} if seen.etag else {})}
            part = bytes(obstore.get(store, key, options=options).bytes())
        except Exception as error:
            _told(address, error)
        if len(part) != end - start:
            raise Passing("fewer bytes than were asked for")
        yield part
        start = end


def _seen(meta: Any) -> Seen:
    modified = meta.get("last_modified")
    when = "" if modified is None else modified.astimezone(UTC).isoformat(timespec="seconds")
    return Seen(int(meta["size"]), str(meta.get("e_tag") or "")[:200], when)


def _split(address: str) -> tuple[str, str]:
    scheme, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme.lower()}://{bucket}", key


def _store(bucket: str, timeout_s: float) -> Any:
    return _made(bucket, timeout_s, frozenset(one for one in os.environ.items() if one[0].startswith(DECIDING)))


@lru_cache(maxsize=16)
def _made(bucket: str, timeout_s: float, _environment: frozenset[tuple[str, str]]) -> Any:
    from obstore.store import AzureStore, GCSStore, S3Store

    scheme, _, name = bucket.partition("://")
    client: dict[str, Any] = {"timeout": f"{timeout_s:g}s", "connect_timeout": f"{min(timeout_s, 15.0):g}s"}
    try:
        client["allow_http"] = allows_http(scheme)
    except ValueError as wrong:
        raise SourceError(f"{bucket} cannot be asked", *wrong.args, code="REMOTE_FAILED") from None
    # one way of trying again, ours: the same for the web, and seen in the log
    retry = {"max_retries": 0, "retry_timeout": timedelta(seconds=timeout_s)}
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    return kinds[scheme](name, client_options=client, retry_config=retry)


def _obstore() -> Any:
    if os.getpid() != PROCESS:
        what, do = "buckets cannot be read in a forked process", "start it anew (spawn)"
        raise SourceError(what, "a fork", do, code="REMOTE_FAILED")
    try:
        import obstore
    except ImportError as error:
        what, do = "buckets need obstore", "pip install 'srcore[s3]'"
        raise SourceError(what, "it is not installed", do, code="NOT_INSTALLED") from error
    return obstore


def _told(address: str, error: Exception) -> NoReturn:
    """Raise what an error of obstore means. Its own text may hold what is secret, and is never repeated."""
    kind = type(error).__name__
    statuses = {"PermissionDeniedError": 403, "UnauthenticatedError": 401, "NotFoundError": 404}
    text = str(error)
    found = re.search(r"status code: (\d{3})", text)
    status = statuses.get(kind) or (404 if isinstance(error, FileNotFoundError) else int(found[1]) if found else 0)
    if status and status not in PASSING and status != 412:
        raise refused(shown(address), status) from None
    if kind == "InvalidPathError":  # the whole list is lost by it
        what, do = f"{shown(address)}: a key below it is no path", "rename it, or give a folder without it"
        raise SourceError(what, "an empty part, '.', '..' or a control character", do, code="OUTSIDE") from None
    if kind == "PreconditionError" or status == 412:
        raise Passing("it changed while it was read") from None
    if isinstance(error, (SourceError, Passing)):
        raise error
    if re.search("credential|instance metadata|169.254.169.254", text, re.IGNORECASE):
        raise Passing("no key was found in the environment") from None
    raise Passing(f"status {status}" if status else "the connection was cut, or there was none") from None
