"""Writes the pages that come from the code: commands, keys, the Python interface, the notebook; and llms.txt.

`make docs` runs it. A test asks that what lies here is what it would write.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

import srcore
from flows.cli import app
from flows.cli.examples import EXAMPLES
from srcore.catalog import Catalog, catalog_schema
from srcore.catalog.dataset import Concurrency, Dataset
from srcore.catalog.elsewhere import Stac
from srcore.catalog.learning import Pairs, Retrain
from srcore.catalog.mosaic import Mosaic
from srcore.catalog.quality import Quality
from srcore.catalog.watching import Watch
from srcore.checks import Check, Report
from srcore.codes import page as codes
from srcore.errors import SRError
from srcore.limits import LimitChange
from srcore.run.product import Product

DOCS = Path(__file__).parent
SITE = DOCS.parent / "zensical.toml"
SECTIONS = (Dataset, Stac, Mosaic, Quality, Watch, Concurrency, LimitChange, Pairs, Retrain)


def commands() -> str:
    """Every command of the command line."""
    head = "Every command with its arguments and options, as `srcore COMMAND --help` tells them"
    parts = [f"# Commands\n\n{head} ([how they behave](commandline.md)). `make docs` writes this page."]
    for words, command in _leaves(typer.main.get_command(app)):
        examples, variables = EXAMPLES[words]
        parts += [f"## srcore {words}", inspect.cleandoc(command.help or ""), _fenced("bash", examples)]
        with command.make_context(words, [], resilient_parsing=True, terminal_width=1000, color=False) as context:
            records = [one.get_help_record(context) for one in command.get_params(context) if one.name != "help"]
        parts += [_table(("option", "what"), [(_option(name), text) for name, text in filter(None, records)])]
        parts += [f"Environment: {', '.join(f'`{one}`' for one in variables)}."] if variables else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _option(name: str) -> str:
    """An option and what it takes: `<str>` goes without saying, and a table has signs of its own for |."""
    flags, _, takes = name.partition(" <")
    words = {
        "path>": "PATH",
        "int>": "N",
        "int range>": "N",
        "float>": "X",
        "float range>": "X",
        "list[str]>": "TEXT ...",
    }
    choices = takes.removesuffix(">").split("|")
    told = ", ".join(f"`{word}`" for word in choices) if len(choices) > 1 else words.get(takes, "")
    return f"`{flags}` {told}".strip()


def catalog() -> str:
    """Every key of the catalog."""
    head = "`srcore catalog schema` prints the same as JSON Schema, and `srcore catalog check` judges a file by it."
    schema = catalog_schema()
    parts = [f"# Catalog keys\n\n{head} [New dataset](dataset.md) has examples. `make docs` writes this page."]
    parts += ["## The file", _keys(Catalog, schema)]
    for section in SECTIONS:
        parts += [f"## {_HEADS[section]}", inspect.cleandoc(section.__doc__ or "").split("\n\n")[0]]
        parts += [_keys(section, schema["$defs"][section.__name__])]
    return "\n\n".join(parts) + "\n"


_HEADS: Mapping[type, str] = {
    Dataset: "An entry of datasets",
    Stac: "source, where it is a STAC catalog",
    Mosaic: "mosaic",
    Quality: "quality",
    Watch: "watch",
    Concurrency: "concurrency",
    LimitChange: "checks, of each check",
    Pairs: "pairs",
    Retrain: "retrain",
}


def _keys(model: type, schema: Mapping[str, Any]) -> str:
    texts, needed, rows = _texts(model), set(schema.get("required", ())), []
    for key, facts in schema["properties"].items():
        default = "needed" if key in needed else f"else `{_plain(facts['default'])}`" if "default" in facts else ""
        name = next((name for name, field in model.model_fields.items() if key in (name, field.alias)), key)
        takes = ", ".join(filter(None, (_kind(facts), default)))
        told = re.sub(r"\bNone\b", "null", texts.get(name, ""))  # who writes None in a catalog writes a word
        rows.append((f"`{key}`", f"{takes}<br>{told}".removesuffix("<br>")))
    return _table(("key", "what it takes, and what it means"), rows)


def _kind(facts: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if options := facts.get("anyOf") or facts.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(one) for one in options if one.get("type") != "null"))
    if "$ref" in facts:
        return "keys, see below"
    if "enum" in facts:
        return ", ".join(f"`{word}`" for word in facts["enum"])
    if "const" in facts:
        return f"`{facts['const']}`"
    names = {"string": "text", "integer": "whole number", "boolean": "`true`, `false`"}
    kind = facts.get("type", "anything")
    if kind == "array":
        inner = facts.get("items") or facts.get("prefixItems", [{}])[0]
        return f"[{_kind(inner)}, ...]"
    if kind == "object":
        within = facts.get("additionalProperties")
        return f"{{name: {_kind(within)}}}" if isinstance(within, dict) else "{...}"
    return names.get(kind, kind) + _ends(facts)


def _ends(facts: Mapping[str, Any]) -> str:
    least, most = (facts.get(f"{name}imum", facts.get(f"exclusive{name.title()}imum")) for name in ("min", "max"))
    if least is None and most is None:
        return ""
    return f" {'' if least is None else f'{least:g}'} to {'' if most is None else f'{most:g}'}".replace(
        "  ", " "
    ).rstrip()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def api() -> str:
    """`import srcore`: its functions, and what they give."""
    head = "What `import srcore` offers, from its docstrings. [Cell by cell](notebook.md) shows it at work."
    parts = [f"# Python interface\n\n{head} `make docs` writes this page."]
    for name in sorted(set(srcore.__all__) - {"__version__"}):
        function = getattr(srcore, name)
        parts += [f"## srcore.{name}", _fenced("python", _signature(name, function)), _prose(function.__doc__ or "")]
    for kind in (Product, Report, Check, SRError):
        parts += [f"## {kind.__name__}", _prose(kind.__doc__ or ""), _table(("has", "what"), _members(kind))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _signature(name: str, function: Any) -> list[str]:
    """A line an argument, so that it can be read on a phone."""
    found, star = [], False
    for one in inspect.signature(function).parameters.values():
        if one.kind is one.KEYWORD_ONLY and not star:
            found, star = [*found, "*"], True
        value = json.dumps(one.default) if isinstance(one.default, str) else repr(one.default)
        default = "" if one.default is one.empty else f"={value}"
        found.append(("**" if one.kind is one.VAR_KEYWORD else "") + one.name + default)
    return [f"def {name}(", *(f"    {one}," for one in found), "): ..."]


def _prose(doc: str) -> str:
    """A docstring as Markdown: what is behind `>>>` is a block of code."""
    text, _, example = inspect.cleandoc(doc).partition("\n>>> ")
    return f"{text.strip()}\n\n" + _fenced("pycon", [f">>> {example}"]) if example else text


def _members(kind: type) -> list[tuple[str, str]]:
    texts = _texts(kind)
    public = [(name, one) for name, one in vars(kind).items() if isinstance(one, property) and name[0] != "_"]
    fields = [(f"`{name}`", texts.get(name, "")) for name in getattr(kind, "__dataclass_fields__", ())]
    return fields + [(f"`{name}`", inspect.cleandoc(one.__doc__ or "")) for name, one in public]


def _texts(kind: type) -> dict[str, str]:
    """Name of a field to the string that stands below it in the source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def notebook() -> str:
    """docs/python.py as a page: what stands behind `# %%` is text, what follows code."""
    head, *cells = re.split(r"(?m)^# %% ", (DOCS / "python.py").read_text())
    intro = inspect.cleandoc(ast.get_docstring(ast.parse(head)) or "")
    told = (
        "The same as a file to run: [python.py](python.py). `make docs` writes this page from it, and a test runs it."
    )
    parts = [f"# From Python and in a notebook\n\n{intro}\n\n{told}"]
    for cell in cells:
        text, _, code = cell.partition("\n")
        parts += [text, _fenced("python", code.strip().split("\n"))]
    return "\n\n".join(parts) + "\n"


def llms() -> str:
    """The pages of the site with what each says first, for programs that read."""
    site = tomllib.loads(SITE.read_text())["project"]
    parts = [f"# {site['site_name']}\n\n> {site['site_description']}"]
    for group in site["nav"]:
        [(title, entries)] = group.items()
        if isinstance(entries, list):
            lines = [_entry(name, page) for entry in entries for name, page in entry.items()]
            parts += [f"## {title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, page: str) -> str:
    paragraphs = (DOCS / page).read_text().split("\n\n")
    first = next(one for one in paragraphs[1:] if one[:1].isalnum() or one[:1] == "`")
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", " ".join(first.split()))
    return f"- [{name}]({page.removesuffix('.md')}.html): {re.split(r'(?<=[a-z)`])[.:](?= |$)', plain)[0]}."


def _fenced(language: str, lines: Any) -> str:
    return "\n".join((f"```{language}", *lines, "```"))


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    cells = [" | ".join(_cell(cell) for cell in row) for row in rows]
    return "\n".join(f"| {row} |" for row in (" | ".join(heads), " | ".join("---" for _ in heads), *cells))


def _cell(text: str) -> str:
    """In one line; a glob is code, or its stars would be marks."""
    return re.sub(
        r"(?<![^\s(])('[^']*\*[^']*'|[^\s`*]*\*[^\s`]*?)(?=[.,;:)]*(?:\s|$))", r"`\1`", " ".join(text.split())
    ).replace("|", r"\|")


WRITTEN = {
    "codes.md": codes,
    "commands.md": commands,
    "catalog.md": catalog,
    "api.md": api,
    "notebook.md": notebook,
    "llms.txt": llms,  # last: it tells of the others
}
"""Name of a page to what writes it."""


if __name__ == "__main__":
    for name, write in WRITTEN.items():
        (DOCS / name).write_text(write())
