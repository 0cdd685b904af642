"""XML from strangers as a tree: no DTD, no entities, nothing fetched, and no more of it than a person would write."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 32
MAX_ELEMENTS = 100_000


def read_xml(path: Path) -> Element:
    """The root element of the document in `path`; ValueError, in words, when it is not plain, small XML."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.tree.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from error
    return builder.tree.close()


def text_of(parent: Element, name: str) -> str | None:
    """The text of a child, without the spaces around it; None where there is none."""
    child = parent.find(name)
    return None if child is None else (child.text or "").strip()


class _Builder:
    """Counts what it builds."""

    def __init__(self) -> None:
        self.tree = TreeBuilder()
        self.depth = self.elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth, self.elements = self.depth + 1, self.elements + 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise ValueError(f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements")
        self.tree.start(name, attributes)

    def end(self, name: str) -> None:
        self.depth -= 1
        self.tree.end(name)


def _refuse(*_: object) -> None:
    raise ValueError("a DTD or an entity")
