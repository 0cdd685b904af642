"""A new entry in the text of a catalog: lines are put in, and nothing that a person wrote is touched. Pure text.

datasets:
  alps:                 <- as deep as the entries that are there
    kind: raster
    # retrain:          <- comments below an entry belong to it
  NEW:                  <- behind the last
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml

from srcore.errors import CatalogError

NEW_CATALOG = """\
# What data there is: one entry a dataset. Paths start at this file's folder.
# `srcore catalog check` says what is wrong, with the line; `srcore catalog schema` lists every key.
version: 1
store: ./archive                # products, reports and receipts are published here

datasets:
  # srcore catalog add NAME './folder/*.tif' writes an entry from the first file that it finds. By hand:
  # my-scenes:
  #   kind: raster              # raster | volume
  #   source: ./incoming/*.tif  # one file a scene; {scene}_{band}.tif joins files of one band each
  #   model: srcore-x2          # `srcore models list`
  #   schedule: "0 2 * * *"     # every night at 02:00; without it: only `srcore run my-scenes`
"""
"""What `srcore init` writes: a catalog without an entry."""


def entry_lines(name: str, keys: Sequence[tuple[str, object]], notes: Sequence[str]) -> list[str]:
    """The lines of an entry, not indented: `notes` as comments behind its name, values as JSON, which is YAML."""
    told = [f"  # {note}" for note in notes]
    return [f"{name}:", *told, *(f"  {key}: {_value(value)}" for key, value in keys)]


def _value(value: object) -> str:
    if isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum() and value[:1].isalpha():
        return value  # a plain word; strict YAML takes none for anything else but these
    return json.dumps(value, ensure_ascii=False)


def with_entry(text: str, lines: Sequence[str]) -> str:
    """The text of a catalog with an entry behind its last one. CatalogError where its datasets are in one line."""
    node = _datasets(text)
    end = "\r\n" if "\r\n" in text else "\n"
    rows = text.splitlines(keepends=True)
    if rows and not rows[-1].endswith(("\n", "\r")):
        rows[-1] += end
    key, value = node
    entries = value.value if isinstance(value, yaml.MappingNode) else []
    if isinstance(value, yaml.MappingNode) and value.flow_style:
        do = f"write them one below the other, or add by hand:\n{chr(10).join(lines)}"
        raise CatalogError("the datasets of the catalog stand in { }", "no place for a new line", do)
    column = entries[0][0].start_mark.column if entries else key.start_mark.column + 2
    last = max((_last_line(one) for pair in entries for one in pair), default=key.start_mark.line)
    place = _behind(rows, last, key.start_mark.column)
    new = [" " * column + line + end for line in lines]
    return "".join([*rows[:place], *new, *rows[place:]])


def _datasets(text: str) -> tuple[yaml.Node, yaml.Node]:
    """The key `datasets` and its value."""
    try:
        root = yaml.compose(text.lstrip("\ufeff"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CatalogError("the catalog is no YAML", str(error), "see `srcore catalog check`") from error
    for key, value in root.value if isinstance(root, yaml.MappingNode) else []:
        if key.value == "datasets":
            return key, value
    raise CatalogError("the catalog has no key `datasets`", "", "add the line `datasets:` at its end")


def _last_line(node: yaml.Node) -> int:
    """Line, from 0, of the last thing in a node."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return max(_last_line(one) for pair in node.value for one in pair)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return max(map(_last_line, node.value))
    mark = node.end_mark
    inside = mark.column > 0 or mark.line == node.start_mark.line
    return int(mark.line if inside else mark.line - 1)


def _behind(rows: Sequence[str], last: int, column: int) -> int:
    """Where a new entry goes: behind the comments that are indented more than the key `datasets` is."""
    place = last + 1
    while place < len(rows) and (text := rows[place].lstrip()).startswith("#"):
        if len(rows[place]) - len(text) <= column:
            break
        place += 1
    return place
