"""How what lies in the store is sent: whole or a range of it, and not once more to who has it already."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from srcore.storage.disk.content import Content

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
"""One range; who asks for several gets all of it, as HTTP allows."""


def sent(request: Request, content: Content, kind: str, *, squeezed: bool = False) -> Response:
    """The answer to a GET or HEAD; of what may be `squeezed` on its way there are no ranges."""
    tag = f'{"W/" if squeezed else ""}"{content.mark}"'
    head = {"ETag": tag} if squeezed else {"ETag": tag, "Accept-Ranges": "bytes"}
    if tag.removeprefix("W/") in request.headers.get("if-none-match", ""):
        content.close()
        return Response(None, 304, head)
    size = content.size_bytes
    part = None if squeezed or request.method == "HEAD" else _asked(request, tag, size)
    start, end = part or (0, size)
    if start >= end and part is not None:
        content.close()
        return Response(None, 416, {**head, "Content-Range": f"bytes */{size}"})
    head["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        content.close()
        return Response(None, 200, head, kind)
    if part is not None:
        head["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(content.pieces(start, end), 200 if part is None else 206, head, kind)


def _asked(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last that a request is for, none of them where they lie beyond; None: all."""
    found = RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or found[0] == "bytes=-" or request.headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size if int(last) else 0
    if last and int(last) < int(first):
        return None  # no range at all: HTTP has it passed over
    return int(first), min(int(last) + 1, size) if last else size
