"""The connection to an object store, and what is said where it fails. Credentials come from the environment alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from srcore.errors import AwayError, SRError

REQUEST, CONNECT = "120s", "10s"
"""The longest that a request, and a connection, may take."""
RETRIES, RETRY_SECONDS = 4, 60
"""Of a request that was answered by 5xx or not at all."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_ENDPOINT",
}
ALLOWED = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
MISSING = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
DENIED = re.compile(
    r"status code: 40[13]|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|Unauthorized|Forbidden"
    r"|AuthenticationFailed|InvalidToken",
    re.IGNORECASE,
)
EXPIRED = re.compile(r"ExpiredToken|TokenRefreshRequired|RequestExpired")
SKEWED = re.compile(r"RequestTimeTooSkewed|RequestInTheFuture")
STATUS = re.compile(r"status code: (\d\d\d)")
LATE = re.compile(r"operation timed out|TimedOut|deadline has elapsed", re.IGNORECASE)
DENIES = "it refuses the credentials, there are none, or they may not do that"
AGAIN = frozenset({"408", "425", "429"})
"""Answers of 4xx that pass by themselves."""
UNABLE = frozenset({"501"})
"""Answers of a server that knows a part of the protocol."""
CONDITIONS, NO_TAG = ".conditions", '"00000000000000000000000000000000"'
"""An object of each store that nobody reads, and the tag of no object."""
NEVER = ".conditions.never"
"""An object that is nowhere: who may delete it may delete others."""
_OPENED_IN: list[int] = []
"""The process that opened the first one."""


def client(address: str) -> Any:
    """The open store of obstore at an address, the same for all of a process.

    AwayError where it cannot be reached, refuses the credentials, or has no such bucket, without obstore, and in a fork
    of a process that used one: its threads did not come along, and a request would wait for ever.
    """
    if _OPENED_IN and _OPENED_IN[0] != os.getpid():
        what, do = "an object store cannot be used in a fork of a process that used one", "start the process by spawn"
        raise AwayError(what, address, do)
    return _opened(address)


@cache
def _opened(address: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError as error:
        do = "pip install 'srcore[s3]'"
        raise AwayError(f"store {address} needs obstore", "it is not installed", do, code="NOT_INSTALLED") from error
    try:
        plain = allows_http(address.partition(":")[0])
    except ValueError as wrong:
        raise AwayError(f"the store {address} cannot be used", *wrong.args, code="STORE_REFUSED") from None
    _OPENED_IN[:] = [os.getpid()]
    options: dict[str, Any] = {
        "client_options": {"timeout": REQUEST, "connect_timeout": CONNECT, "allow_http": plain},
        "retry_config": {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    }
    with told(address):
        opened: Any = from_url(address, **options)
        # a missing bucket looks like a missing object to a get, and would make every product a new one
        next(iter(opened.list(chunk_size=1)), None)
    return opened


@cache
def refuse_careless(address: str) -> None:
    """AwayError for a server that passes over the condition of a put: two runs would publish one scene at once; and for
    one that lets nothing be deleted: leases would stay.

    Asked once a process, by the object CONDITIONS, which stays: whoever removed it would disturb who asks just now.
    """
    _refuse_undeletable(address)
    none = {"e_tag": NO_TAG, "version": "1"}  # Google goes by the version
    if (_puts(address, "create") and _puts(address, "create")) or _puts(address, none):
        do = "use one that keeps If-None-Match and If-Match of a put"
        raise AwayError(f"the store {address} cannot be used", "it passes over conditions", do, code="STORE_REFUSED")


def _refuse_undeletable(address: str) -> None:
    try:
        with told(address):
            client(address).delete([NEVER])
    except FileNotFoundError:
        return
    except AwayError as error:
        if error.found != DENIES:
            raise
        do = "allow to delete objects there (s3:DeleteObject): leases and what is replaced are deleted"
        what = f"the store {address} cannot be used"
        raise AwayError(what, "it lets nothing be deleted", do, code="STORE_REFUSED") from None


def _puts(address: str, mode: Any) -> bool:
    """Whether a put under a condition is done."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    with told(address):
        try:
            client(address).put(CONDITIONS, b"", mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
    return True


def allows_http(scheme: str) -> bool:
    """Whether requests may go without TLS: to this machine; elsewhere where who wants that says so (AWS_ALLOW_HTTP).

    ValueError where the environment contradicts itself: what was found, and what to do.
    """
    name = next((one for one in ENDPOINTS[scheme] if os.environ.get(one)), "")
    if not name:
        return False
    parts = urlsplit(os.environ[name])
    if parts.scheme not in ("http", "https") or not parts.hostname:  # obstore ends the process for less
        raise ValueError(f"{name} is no address", "set it to https://HOST, or unset it")
    allowed = parts.hostname in LOOPBACK or os.environ.get(ALLOWED[scheme], "").lower() in ("1", "true", "yes")
    if parts.scheme == "http" and not allowed:
        raise ValueError(f"{name} without TLS", f"use https, or set {ALLOWED[scheme]}=true where nobody can listen")
    return parts.scheme == "http"


@contextmanager
def told(address: str) -> Iterator[None]:
    """Errors of obstore and of the connection in one line each; what the server says is not repeated, for it may name a
    key. FileNotFoundError of an object that is not there passes."""
    try:
        yield
    except FileNotFoundError as error:
        if MISSING.search(str(error)):
            raise away(address, error) from None
        raise
    except SRError:
        raise
    except Exception as error:  # obstore has many kinds, and the next version others
        raise away(address, error) from None


def away(address: str, error: BaseException) -> AwayError:
    """Why an object store gives nothing, in one line."""
    # what follows is obstore's own settings, the time-outs among them
    text, what = str(error).partition("Debug source")[0], f"the store {address} cannot be used"
    if MISSING.search(text) or isinstance(error, FileNotFoundError):
        return AwayError(what, "no such bucket", "make the bucket, or correct `store`", code="STORE_REFUSED")
    if SKEWED.search(text):
        do = "set it by a time server, and run again"
        return AwayError(what, "the clock of this machine is minutes off", do, code="STORE_REFUSED")
    if EXPIRED.search(text):
        do = "set fresh ones, and run again: the next run goes on from there"
        return AwayError(what, "the credentials have expired", do, code="STORE_REFUSED")
    if isinstance(error, PermissionError) or DENIED.search(f"{type(error).__name__} {text}"):
        keys = KEYS[address.partition(":")[0]]
        do = f"set them in the environment ({keys}); they need to list, get, put and delete"
        return AwayError(what, DENIES, do, code="STORE_REFUSED")
    status = STATUS.search(text)
    if status and (status[1] in UNABLE or (status[1].startswith("4") and status[1] not in AGAIN)):
        do = "look at region and address, and at the bucket: one that locks by default (object lock) can be no store"
        return AwayError(what, f"it refuses a request: answer {status[1]}", do, code="STORE_REFUSED")
    found = f"answer {status[1]}" if status else "no answer in time" if LATE.search(str(error)) else "no connection"
    return AwayError(what, found, "wait until it answers; the next run goes on")
