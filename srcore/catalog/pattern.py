"""What a source's pattern means: a regular expression of its files, and the name that a file gives its scene. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from srcore.errors import CatalogError

_TOKEN = re.compile(r"\{scene\}|\{band\}|\{patient\}|\{series\}|\*\*/|\*+|\?|\[!?[^\]]+\]")
_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$", re.IGNORECASE)
_EDGES = "-_. "


def scene_name(path: PurePath, band: tuple[int, int] | None) -> str:
    """The file's name without its suffix and its band; the folder's when nothing is left."""
    start = len(str(path)) - len(path.name)
    if band is None or band[0] < start:
        return _SUFFIX.sub("", path.name) or path.name
    before, after = path.name[: band[0] - start], _SUFFIX.sub("", path.name[band[1] - start :])
    if after[:1] in _EDGES:
        before = before.rstrip(_EDGES)
    return (before + after).strip(_EDGES) or path.parent.name


def suffix_of(pattern: str) -> str:
    """The suffix that ends a pattern; '' where a wildcard does."""
    found = _SUFFIX.search(pattern[max((token.end() for token in _TOKEN.finditer(pattern)), default=0) :])
    return found[0] if found else ""


def regex_of(pattern: str, bands: Sequence[str]) -> re.Pattern[str]:
    text, position = "", 0
    for token in _TOKEN.finditer(pattern):
        text += re.escape(pattern[position : token.start()])
        # a second {scene} is the same text as the first
        text += "(?P=scene)" if token[0] == "{scene}" and "(?P<scene>" in text else _part(token[0], bands)
        position = token.end()
    rest, suffix = pattern[position:], suffix_of(pattern)
    rest = re.escape(rest[: len(rest) - len(suffix)]) + f"(?i:{re.escape(suffix)})"
    try:
        return re.compile(text + rest, re.DOTALL)
    except re.error as error:
        raise CatalogError(f"source {pattern!r} is not a glob", str(error), "write [abc] or [a-c]") from error


def _part(token: str, bands: Sequence[str]) -> str:
    if token == "{scene}":
        return "(?P<scene>[^/]+)"
    if token == "{band}":
        # the longest first: before a wildcard B1 would match the beginning of B12
        return f"(?P<band>{'|'.join(re.escape(band) for band in sorted(bands, key=len, reverse=True))})"
    if token.startswith("["):
        inside = re.escape(token[1:-1].removeprefix("!")).replace(r"\-", "-")
        return f"[^/{inside}]" if token.startswith("[!") else f"[{inside}]"
    return {"**/": "(?:[^/]+/)*", "?": "[^/]"}.get(token, "[^/]*")
