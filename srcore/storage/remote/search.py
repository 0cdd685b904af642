"""The items of a STAC API, of a catalog, collection, item or item collection that lies as files, or of a table of them.

Ours are some lines in place of a client: every answer is bounded and tried again like a file, and a token goes to the
host that it is for, also where the next page lies elsewhere. `query` is applied here too: servers may not know it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from srcore.catalog.elsewhere import WEB, Narrowed, Stac
from srcore.errors import SourceError
from srcore.storage.remote.address import joined, leads_inward, scheme_of, shown
from srcore.storage.remote.documents import MOST_BYTES, parsed, read_document, tried
from srcore.storage.remote.items import Box, bad_item, box_of, moment
from srcore.storage.remote.table import is_table, read_table

PAGE = 100
"""Items of an answer; a server may give fewer."""
MOST_PAGES, MOST_DOCUMENTS = 100_000, 100_000
MOST_EMPTY = 100
"""Pages without an item, one after the other, that are read."""
QUERY = "item-search#query"

Found = tuple[Mapping[str, Any], str]
"""An item, and where its relative links start."""


def items_of(source: Stac) -> Iterator[Found]:
    """The items that a search gives, in its order. SourceError."""
    if is_table(source.stac):
        yield from (one for one in read_table(source.stac) if _is_meant(one[0], source))
        return
    document, base = read_document(source.stac)
    try:
        if _is_api(document):
            yield from (one for one in _pages(source, document, base) if _has_properties(one[0], source.query))
        else:
            yield from (one for one in _below(document, base) if _is_meant(one[0], source))
    except ValueError as error:  # of urllib: a link that is no address
        raise bad_item(base, "a link that is no address") from error


def _is_api(document: Mapping[str, Any]) -> bool:
    return "conformsTo" in document or any(link.get("rel") == "search" for link in _links(document))


def _links(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    links = document.get("links")
    links = links if isinstance(links, list) else []
    return [one for one in links if isinstance(one, Mapping) and isinstance(one.get("href"), str)]


def _pages(source: Stac, api: Mapping[str, Any], base: str) -> Iterator[Found]:
    offered = [link for link in _links(api) if link.get("rel") == "search"]
    posts = [link for link in offered if str(link.get("method")).upper() == "POST"]  # first, as every client does it
    search = next(iter((*posts, *offered)), {"href": f"{base.rstrip('/')}/search"})
    knows = api.get("conformsTo")
    asked = _asked(source, query=isinstance(knows, list) and any(str(one).endswith(QUERY) for one in knows))
    address = _led(base, f"{base.rstrip('/')}/", search)
    body: dict[str, Any] | None = asked
    if str(search.get("method", "POST")).upper() == "GET":
        address, body = _as_get(address, asked), None
    seen: set[tuple[str, str]] = set()
    empty = 0
    while len(seen) < MOST_PAGES and empty <= MOST_EMPTY:
        key = (address, json.dumps(body, sort_keys=True))
        if key in seen:
            raise bad_item(address, "pages that lead back to one before")
        seen.add(key)
        page, came = _ask(address, body, asked if not seen - {key} else None)
        found = _features(page, address)
        empty = 0 if found else empty + 1
        yield from ((one, came) for one in found)
        following = next((link for link in _links(page) if link.get("rel") == "next"), None)
        if following is None:
            return
        address, body = _next(following, _led(came, came, following), body)
    raise bad_item(address, "a list that does not end")


def _led(came: str, base: str, link: Mapping[str, Any]) -> str:
    """Where a link of a document leads."""
    place = joined(base, str(link["href"]))
    if leads_inward(came, place):
        raise bad_item(came, "a link to this machine's own network")
    return place


def _asked(source: Stac, *, query: bool) -> dict[str, Any]:
    wishes: dict[str, Any] = {
        "collections": list(source.collections),
        "bbox": None if source.bbox is None else list(source.bbox),
        "datetime": None if source.datetime is None else "/".join(_interval(source.datetime)),
        "query": source.query if query else None,
    }
    return {"limit": PAGE, **{name: value for name, value in wishes.items() if value}}


def _ask(address: str, body: dict[str, Any] | None, again: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """A page; the first one by GET where a server knows no POST."""
    from srcore.storage.remote.web import read_text

    if scheme_of(address) not in WEB:
        raise bad_item(address, "a page that lies outside the web")
    data = None if body is None else json.dumps(body).encode()
    try:
        content, came = tried(address, lambda: read_text(address, MOST_BYTES, data))
    except SourceError as error:
        if again is None or body is None or not any(one in error.found for one in ("404", "405")):
            raise
        address = _as_get(address, again)
        content, came = tried(address, lambda: read_text(address, MOST_BYTES))
    return parsed(content, address), came


def _as_get(address: str, asked: Mapping[str, Any]) -> str:
    def plain(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    told = {name: json.dumps(value) if name == "query" else plain(value) for name, value in asked.items()}
    return f"{address}{'&' if '?' in address else '?'}{urlencode(told)}"


def _next(link: Mapping[str, Any], address: str, body: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    if str(link.get("method", "GET")).upper() != "POST":
        return address, None
    more = link.get("body")
    more = more if isinstance(more, dict) else {}
    return address, {**(body or {}), **more} if link.get("merge") else more or body


def _features(page: Mapping[str, Any], address: str) -> list[Mapping[str, Any]]:
    found = page.get("features")
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise bad_item(address, "an answer without features")
    return found


def _below(document: Mapping[str, Any], base: str) -> Iterator[Found]:
    """Items of a document, and of all that it leads to, breadth first."""
    todo, seen = deque([(document, base)]), {base}
    while todo:
        one, where = todo.popleft()
        if one.get("type") == "FeatureCollection":
            yield from ((item, where) for item in _features(one, where))
        elif one.get("type") == "Feature":
            yield one, where
        elif one.get("type") in ("Catalog", "Collection"):
            for link in _links(one):
                if link.get("rel") in ("item", "child") and (place := _led(where, where, link)) not in seen:
                    seen.add(place)
                    if len(seen) > MOST_DOCUMENTS or (scheme_of(where) and not scheme_of(place)):
                        raise bad_item(where, "a link to a file of this machine, or too many links")
                    todo.append(read_document(place))
        else:
            raise bad_item(where, f"type {one.get('type')!r}")


def _is_meant(item: Mapping[str, Any], source: Stac) -> bool:
    if source.collections and item.get("collection") not in source.collections:
        return False
    if source.bbox is not None and not _meets(box_of(item), source.bbox):
        return False
    return _is_then(item, source.datetime) and _has_properties(item, source.query)


def _meets(found: Box | None, wanted: Box) -> bool:
    """Whether two boxes have a point in common; without one of its own an item is nowhere."""
    if found is None:
        return False
    west, south, east, north = found
    return (
        south <= wanted[3]
        and wanted[1] <= north
        and any(a <= d and c <= b for a, b in _stretches(west, east) for c, d in _stretches(wanted[0], wanted[2]))
    )


def _stretches(west: float, east: float) -> list[tuple[float, float]]:
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def _interval(text: str) -> tuple[str, str]:
    """From and to, as RFC 3339; a day, a month or a year stands for all of it; '..' for no end."""
    first, _, last = text.partition("/")
    return _end(first, last=False), _end(last or first, last=True)


def _end(text: str, *, last: bool) -> str:
    if text == ".." or "T" in text:
        return text if text == ".." or moment(text) is None else moment(text).isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]
    parts = text.split("-")
    if not last:
        return "-".join([*parts, *["01"] * (3 - len(parts))]) + "T00:00:00Z"
    if len(parts) == 3:
        return f"{text}T23:59:59Z"
    month = parts[1] if len(parts) == 2 else "12"
    return f"{parts[0]}-{month}-{_days(int(parts[0]), int(month))}T23:59:59Z"


def _days(year: int, month: int) -> int:
    from calendar import monthrange

    return monthrange(year, month)[1]


def _is_then(item: Mapping[str, Any], wanted: str | None) -> bool:
    if wanted is None:
        return True
    said = item.get("properties")
    said = said if isinstance(said, Mapping) else {}
    own = [moment(str(said.get(name) or "")) for name in ("datetime", "start_datetime", "end_datetime")]
    begin, end = own[1] or own[0], own[2] or own[0]
    first, last = (moment(one) for one in _interval(wanted))
    if begin is None or end is None:
        return False
    return (last is None or begin <= last) and (first is None or end >= first)


def _has_properties(item: Mapping[str, Any], query: Mapping[str, Mapping[str, Any]] | None) -> bool:
    said = item.get("properties")
    said = said if isinstance(said, Mapping) else {}
    return all(
        name in said and _holds(word, said[name], value)
        for name, each in (query or {}).items()
        for word, value in each.items()
    )


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "startsWith": lambda a, b: str(a).startswith(str(b)),
    "endsWith": lambda a, b: str(a).endswith(str(b)),
    "contains": lambda a, b: b in a,
}


def _holds(word: str, found: Any, wanted: Any) -> bool:
    try:
        return bool(COMPARE[word](found, wanted))
    except TypeError:  # a number and a word
        return False


def described(source: Stac) -> str:
    """All that decides which items there are, for a name of the search."""
    source = source.whole if isinstance(source, Narrowed) else source
    return shown(source.stac) + json.dumps(source.model_dump(), sort_keys=True, default=str)
