"""A Prefect server that somebody else runs: whether it can be used, before anything is asked of it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from flows.guard import is_loopback
from srcore.errors import CatalogError, SRError

CLIENT_AUTH = "PREFECT_API_AUTH_STRING"
"""user:password that the client shows."""
AUTHORITY, UNCHECKED = "PREFECT_API_SSL_CERT_FILE", "PREFECT_API_TLS_INSECURE_SKIP_VERIFY"
"""By what the client knows a server with TLS: the authority's certificate; or not at all."""
SECONDS = 10.0
POOL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


def api_of(server: str) -> str:
    """The address of the API: 'http://host:4200/api' of that, or of 'http://host:4200'. CatalogError BAD_SERVER."""
    parts = urlsplit(server)
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment:
        found = "a password in it" if "@" in parts.netloc else repr(server)[:80]
        do = f"give http://HOST:4200, or https://; the password goes into {CLIENT_AUTH} as user:password"
        raise CatalogError("--server is no address of a Prefect server", found, do, code="BAD_SERVER")
    return f"{server.rstrip('/').removesuffix('/api')}/api"


def pool_of(pool: str | None) -> str:
    """The name of the work pool: what was given, or srcore-HOST. CatalogError BAD_SERVER."""
    if pool is None:
        return "srcore-" + re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:50]
    if not POOL_NAME.fullmatch(pool) or pool.startswith("prefect"):
        do = "use small letters, digits and hyphens, 61 at most; Prefect keeps names that begin with prefect to itself"
        raise CatalogError(f"--pool {pool!r} is no name of a work pool", "", do, code="BAD_SERVER")
    return pool


def refuse_unusable(api: str, environ: Mapping[str, str] = os.environ) -> str:
    """The server's version; SRError SERVER_AWAY, SERVER_REFUSED or SERVER_VERSION, one line each, in seconds."""
    server, auth = api.removesuffix("/api"), environ.get(CLIENT_AUTH, "")
    headers = {"Authorization": "Basic " + b64encode(auth.encode()).decode()} if auth else {}
    try:
        answer = httpx.get(f"{api}/admin/version", headers=headers, timeout=SECONDS, verify=_known_by(environ))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        found = " ".join(str(error).split())[:200] or type(error).__name__
        raise _away(server, found) from error
    if answer.status_code in (401, 403):
        found = f"{answer.status_code} {'with' if auth else 'without'} {CLIENT_AUTH}"
        do = f"set {CLIENT_AUTH}=user:password as the server has it, or ask who guards it"
        raise SRError(f"the Prefect server at {server} refuses this client", found, do, code="SERVER_REFUSED")
    if answer.status_code != httpx.codes.OK:
        raise _away(server, f"it answers {answer.status_code}")
    return _same(server, answer.text)


def _known_by(environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    """How the certificate of a server is judged: as Prefect's client will, which asks it from then on."""
    if environ.get(UNCHECKED, "").strip().lower() in ("1", "true", "t", "yes", "y", "on"):
        return False
    authority = environ.get(AUTHORITY)
    try:
        return ssl.create_default_context(cafile=authority) if authority else True
    except OSError as error:  # of ssl, too
        do = "give the PEM file of the server's authority, or unset it"
        found = f"{authority}: {error.strerror or error}"
        raise CatalogError(f"{AUTHORITY} is no file of certificates", found, do, code="BAD_SETTING") from error


def _same(server: str, text: str) -> str:
    """The version, when client and server speak alike: Prefect's API changes between 3.8 and 3.9."""
    try:
        there = json.loads(text)
    except ValueError:
        there = None
    if not isinstance(there, str) or not re.match(r"\d+\.\d+", there):
        raise _away(server, "no Prefect server answers there")
    here = importlib.metadata.version("prefect")
    if there.split(".")[:2] != here.split(".")[:2]:
        do = f"run prefect {'.'.join(here.split('.')[:2])} there, or install srcore with the one that it has"
        raise SRError(
            f"the Prefect server at {server} has another version", f"{there}, here {here}", do, code="SERVER_VERSION"
        )
    return there


def in_the_clear(api: str, environ: Mapping[str, str] = os.environ) -> str:
    """What is to be said of a password that crosses a network unencrypted; '' where none does."""
    parts = urlsplit(api)
    if parts.scheme == "http" and environ.get(CLIENT_AUTH) and not is_loopback(parts.hostname or ""):
        return f"{CLIENT_AUTH} crosses the network in the clear: use https:// unless the network is your own"
    return ""


def _away(server: str, found: str) -> SRError:
    unknown = "CERTIFICATE_VERIFY_FAILED" in found
    do = f"give the certificate of its authority in {AUTHORITY}" if unknown else "start it, or mend --server"
    return SRError(f"the Prefect server at {server} cannot be used", found, do, code="SERVER_AWAY")
