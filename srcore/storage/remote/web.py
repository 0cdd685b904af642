"""Files of the web, by HTTP. Tokens go to the hosts that the environment names, and no further."""

from __future__ import annotations

import logging
import netrc
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

import httpx

from srcore.errors import SourceError
from srcore.settings import load_settings
from srcore.storage.remote.address import leads_inward, shown, words_for
from srcore.storage.remote.transport import PASSING, Passing, Reply, Seen, refused

MOST_WAIT_S = 60.0
"""What a server may ask us to wait (Retry-After)."""
LEAST_BYTES = 1024
"""Come within the time that a server has for a byte: one that sends a byte now and then would never end."""
AS_IT_IS = {"Accept-Encoding": "identity"}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def look(address: str) -> Seen:
    """Size and mark of a file, by HEAD; by the first byte where a server knows no HEAD."""
    with _asked("HEAD", address, AS_IT_IS) as response:  # a server may mark what it packs otherwise
        if response.status_code < 400:
            return _seen(response, _length(response))
    with _asked("GET", address, {**AS_IT_IS, "Range": "bytes=0-0"}) as response:
        _check(address, response)
        return _seen(response, _whole_size(response))


@contextmanager
def opened(address: str, start: int, known: Seen) -> Iterator[Reply]:
    """A file's bytes from `start` on, where the server gives parts of a content that is still the same."""
    headers = dict(AS_IT_IS)
    mark = known.etag if not known.etag.startswith("W/") else ""
    mark = mark or known.modified
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": mark} if mark else {})
    with _asked("GET", address, headers) as response:
        if response.status_code == 416 and start:  # what we have is longer than what there is
            raise Passing("another size than before", anew=True)
        _check(address, response)
        begins = _begins(response) if response.status_code == 206 else 0
        size = _whole_size(response)
        packed = response.headers.get("Content-Encoding", "identity") != "identity"  # although we asked for none
        yield Reply(begins, _seen(response, size), _chunks(response, decoded=packed))


def read_text(address: str, most: int, body: bytes | None = None) -> tuple[bytes, str]:
    """A document of at most `most` bytes, and the address that it came from in the end; `body`: what is posted."""
    headers = {"Accept": "application/geo+json, application/json;q=0.9"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    with _asked("GET" if body is None else "POST", address, headers, body) as response:
        _check(address, response)
        if body is not None and response.request.method != "POST":  # the search was lost on the way
            what, do = f"{shown(address)}: its server leads a search elsewhere", "give the address that it leads to"
            raise SourceError(what, shown(str(response.url)), do, code="BAD_ITEM")
        found = bytearray()
        for chunk in _chunks(response, decoded=True):
            found += chunk
            if len(found) > most:
                what, do = f"{shown(address)}: a document that is too large", "ask for fewer items"
                raise SourceError(what, f"more than {most} bytes", do, code="BAD_ITEM")
        return bytes(found), str(response.url)


@contextmanager
def _asked(method: str, address: str, headers: dict[str, str], body: bytes | None = None) -> Iterator[httpx.Response]:
    settings = load_settings()
    client = _client(os.getpid(), settings.remote_timeout_s)
    try:
        request = client.build_request(method, address, headers={**headers, **_token(address)}, content=body)
        response = client.send(request, stream=True, auth=_login(address), follow_redirects=True)
    except httpx.RequestError as error:
        raise Passing(_words(error)) from None  # its text may hold the address with all that is secret
    except (httpx.InvalidURL, UnicodeError):
        what = f"{shown(address)}: no address"
        raise SourceError(what, "", "write it as https://host/path", code="BAD_ITEM") from None
    try:
        yield response
    except httpx.RequestError as error:
        raise Passing(_words(error)) from None
    finally:
        response.close()


@lru_cache(maxsize=4)
def _client(_process: int, timeout_s: float) -> httpx.Client:
    """One a process: a fork must not share its connections."""
    for name in ("httpx", "httpcore"):  # they log whole addresses, with what is secret in them
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.Client(
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 15.0)),
        headers={"User-Agent": "srcore"},
        max_redirects=8,
        event_hooks={"response": [_refuse_way]},
    )


def _token(address: str) -> dict[str, str]:
    word = words_for(address, load_settings().remote_tokens.get_secret_value())
    parts = urlsplit(address)
    if word and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        what, do = f"{shown(address)}: a token would go over the network in the clear", "use https"
        raise SourceError(what, "http", do, code="REMOTE_DENIED")
    return {"Authorization": f"Bearer {word}"} if word else {}


def _login(address: str) -> httpx.BasicAuth | None:
    """Of the user's .netrc, for https alone."""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    parts = urlsplit(address)
    if parts.scheme != "https" or not os.path.isfile(path):
        return None
    try:
        found = netrc.netrc(path).hosts.get(parts.hostname or "")
    except (netrc.NetrcParseError, OSError, UnicodeError):
        return None  # the server says what is missing
    return httpx.BasicAuth(found[0], found[2]) if found is not None else None


def _refuse_way(response: httpx.Response) -> None:
    """SourceError, before anything is asked there, where a server of https leads to one without, or any to one that
    is this machine's own."""
    if not response.has_redirect_location:
        return
    address = str(response.url)
    try:
        place = urljoin(address, response.headers["Location"])
        inward, scheme = leads_inward(address, place), urlsplit(place).scheme
    except ValueError:  # no address: httpx says so
        return
    if inward or (scheme != "https" and (response.url.scheme == "https" or scheme != "http")):
        told = "to this machine's own network" if inward else "to an address without https"
        what, do = f"{shown(address)}: its server leads {told}", "give that address itself, if it is meant"
        raise SourceError(what, shown(place), do, code="REMOTE_DENIED")


def _check(address: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in PASSING:
        raise Passing(f"status {status}", _wait(response.headers.get("Retry-After", "")))
    if status not in (200, 206):
        raise refused(address, status)


def _wait(text: str) -> float:
    return min(float(text), MOST_WAIT_S) if re.fullmatch(r"\d{1,6}", text) else 0.0


def _seen(response: httpx.Response, size: int | None) -> Seen:
    return Seen(size, response.headers.get("ETag", "")[:200], response.headers.get("Last-Modified", "")[:60])


def _length(response: httpx.Response) -> int | None:
    """Of the body as it is sent; unknown where that is packed."""
    text = response.headers.get("Content-Length", "")
    packed = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(text) if text.isdigit() and not packed else None


def _whole_size(response: httpx.Response) -> int | None:
    """Of the whole file, also where a part of it is sent."""
    if response.status_code != 206:
        return _length(response)
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _begins(response: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None:
        raise Passing("a part of the file that does not say which")
    return int(found[1])


def _chunks(response: httpx.Response, *, decoded: bool = False) -> Iterator[bytes]:
    chunks = response.iter_bytes() if decoded else response.iter_raw()  # as they come: a cut loses none
    return _steady(chunks, load_settings().remote_timeout_s)


def _steady(chunks: Iterator[bytes], timeout_s: float) -> Iterator[bytes]:
    """The same; Passing where they come too slowly."""
    came, waited, asked = 0, 0.0, time.monotonic()
    for chunk in chunks:
        came, waited = came + len(chunk), waited + time.monotonic() - asked
        if came >= LEAST_BYTES:
            came, waited = 0, 0.0
        elif waited > timeout_s:
            raise Passing(f"{came} bytes in {waited:.3g} s")
        yield chunk
        asked = time.monotonic()


def _words(error: Exception) -> str:
    kinds = ((httpx.ConnectTimeout, "no connection in time"), (httpx.TimeoutException, "no answer in time"))
    told = next((words for kind, words in kinds if isinstance(error, kind)), "")
    if told:
        return told
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.DecodingError):
        return "an answer that is packed wrongly"
    return "the connection was cut" if isinstance(error, httpx.TransportError) else "a circle of redirections"
