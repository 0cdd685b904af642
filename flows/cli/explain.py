"""The command explain: what a reason code means."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated

import typer

from flows.cli.options import JsonOption, out, print_json
from srcore.codes import CODES, WHEN


def explain(
    code: Annotated[str | None, typer.Argument(help="A reason code, as DISK_FULL; default: all of them.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a reason code means, what to do, and when the scene is tried again."""
    names = sorted(CODES) if code is None else [_known(code)]
    if as_json:
        print_json([{"code": name, **asdict(CODES[name])} for name in names])
    elif code is None:
        _print_table()
    else:
        found = CODES[names[0]]
        out.print(f"{names[0]}: {found.means}\nDo: {found.do}\nTried again: {WHEN[found.retry]}")


def _known(code: str) -> str:
    name = code.strip("[]").upper()
    if name in CODES:
        return name
    near = get_close_matches(name, CODES, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`srcore explain` lists them"
    raise typer.BadParameter(f"{code!r} is no reason code of this version: {hint}", param_hint="CODE")


def _print_table() -> None:
    from rich.table import Table

    table = Table("code", "it means", "do", "tried again", show_lines=True)
    for name, found in sorted(CODES.items()):
        table.add_row(name, found.means, found.do, found.retry)
    out.print(table)
