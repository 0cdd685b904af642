"""Tables: folded on a terminal, a row a line with tabs anywhere else. Nothing is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

COLUMN_CHARS = 14
"""A terminal with less room for a column than this gets a block of lines a row: words that fold every few letters
cannot be read."""


def print_table(console: Console, table: Table) -> None:
    """On a terminal as wide as it is; into a pipe or file as TSV, the title before it as a comment."""
    if not console.is_terminal:
        console.file.write("".join(f"{line}\n" for line in tsv(table)))
    elif console.width < COLUMN_CHARS * len(table.columns):
        console.file.write("".join(f"{line}\n" for line in blocks(table)))
    else:
        for column in table.columns:
            column.overflow = "fold"
        console.print(table)


def tsv(table: Table) -> Iterator[str]:
    """The lines of a table: its title, its columns, its rows; a tab or a new line in a cell is a space."""
    if table.title:
        yield f"# {_plain(table.title)}"
    yield "\t".join(_plain(column.header) for column in table.columns)
    for row in _rows(table):
        yield "\t".join(row)
    if table.caption:
        yield f"# {_plain(table.caption)}"


def blocks(table: Table) -> Iterator[str]:
    """A line a cell that says something, under the name of its column; an empty line between rows."""
    if table.title:
        yield _plain(table.title)
        yield ""
    names = [_plain(column.header) for column in table.columns]
    wide = max(map(len, names))
    for row in _rows(table):
        yield from (f"{name:{wide}}  {cell}" for name, cell in zip(names, row, strict=True) if cell)
        yield ""
    if table.caption:
        yield _plain(table.caption)


def _rows(table: Table) -> Iterator[tuple[str, ...]]:
    yield from zip(*([_plain(cell) for cell in column.cells] for column in table.columns), strict=True)


def _plain(cell: object) -> str:
    """On one line."""
    return " ".join(str(cell).split())
