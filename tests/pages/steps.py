"""A page as what it tells to do: its lines of a shell, its catalogs and its Python, in their order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from srcore.catalog.dataset import Dataset

_BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```|((?:^ {4}\S[^\n]*\n(?:^ {4,}[^\n]*\n)*)+)")
"""What is fenced, or stands in by four."""
_LINE = re.compile(r"(srcore|export|pip|python|mkdir|cd|ls|cp) ")


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    kind: Literal["shell", "catalog", "python"]
    text: str

    @property
    def words(self) -> list[str]:
        """Of a line of a shell."""
        return shlex.split(self.text, comments=True)

    @property
    def datasets(self) -> Mapping[str, Any]:
        """Of a catalog, or of a part of one: whole entries, or keys of an entry."""
        found = yaml.safe_load(self.text)
        if set(found) <= set(Dataset.model_fields):
            return {"one": {"kind": "raster", "model": "srcore-x2-fast", **found}} if "source" in found else {}
        entries = found.get("datasets", found)
        return {name: entry for name, entry in entries.items() if isinstance(entry, dict) and "source" in entry}


def steps_of(page: Path) -> Iterator[Step]:
    """All that the page tells to do; output that it shows, and documents of other kinds, are none."""
    for language, fenced, indented in _BLOCK.findall(page.read_text()):
        if language == "yaml":
            yield Step("catalog", fenced)
        elif language == "python" or (indented and indented.lstrip().startswith("import ")):
            yield Step("python", fenced or re.sub("(?m)^ {4}", "", indented))
        elif language in ("", "bash"):
            lines = (fenced or re.sub("(?m)^ {4}", "", indented)).replace("\\\n", " ").splitlines()
            yield from (Step("shell", line) for line in lines if _LINE.match(line))
