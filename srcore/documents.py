"""Strict YAML: a document of plain values, each with the line it stands on.

What a catalog needs of YAML and no more: mappings with unique text keys, sequences, text, numbers, true, false,
null. No anchors, aliases, tags, merge keys, dates or `yes/no/on/off`, so that a small file cannot grow into a large
document, and text never turns into something else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from srcore.errors import CatalogError
from srcore.regular import read_regular

MAX_BYTES = 1_000_000
MAX_DEPTH = 12
MAX_NODES = 50_000
"""Values and keys of a document: more would take the parser seconds, and nobody writes them."""

Key = tuple[str | int, ...]
INVENTED = ("[key]", "[files]", "[search]")
"""Parts of a place that stand in no file: pydantic's, and names of forms that a value may have."""
Model = TypeVar("Model", bound=BaseModel)

_YAML = "tag:yaml.org,2002:"
_NUMBER_STARTS = list("-+0123456789.")


@dataclass(frozen=True)
class Document:
    """A parsed file."""

    path: Path
    value: Any
    """dict, tuple, str, int, float, bool or None, nested."""
    lines: dict[Key, int] = field(default_factory=dict)
    """1-based line of every key and item."""

    def line(self, key: Key) -> int:
        """Line of `key`, or of its nearest ancestor that is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def parse(self, model: type[Model], context: dict[str, Any] | None = None) -> Model:
        """The document as a pydantic model; CatalogError with file, line and key for the first thing wrong."""
        try:
            return model.model_validate(self.value, context=context)
        except ValidationError as error:
            # An unknown key first: it is often the misspelt form of the one that is then missing.
            found = min(error.errors(), key=lambda one: (one["type"] != "extra_forbidden", self.line(_key(one["loc"]))))
            raise self._error(model, dict(found)) from error

    def _error(self, model: type[BaseModel], error: dict[str, Any]) -> CatalogError:
        key = _key(error["loc"])
        where = f"{self.path}:{self.line(key)}"
        at = max((i for i, part in enumerate(key) if isinstance(part, str)), default=0)
        name, parent = ".".join(str(part) for part in key[at:]), _dotted(key[:at])
        if error["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, set(_properties(model)), n=1)
            return CatalogError(
                f"{where}: unknown key {name!r}{parent}", do=f"did you mean {near[0]!r}?" if near else "take it out"
            )
        if error["type"] == "missing":
            return CatalogError(f"{where}: missing key {name!r}{parent}", do="add it")
        text = str(error.get("ctx", {}).get("error") or error["msg"])
        return CatalogError(f"{where}: {f'{name}{parent}: ' if key else ''}{text}", _shown(error["input"]))


def read_document(path: Path) -> Document:
    """The YAML document in `path`; CatalogError when it cannot be read or is not strict."""
    loader = None
    try:
        raw = read_regular(path)
        if len(raw) > MAX_BYTES:
            raise CatalogError(f"{path}:1: the document is too large", f"more than {MAX_BYTES} bytes", "split it")
        loader = _StrictLoader(raw.decode("utf-8-sig"))
        loader.path = path
        return _document(path, loader.get_single_node())
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot be read", error.strerror or str(error), "give a readable file", code="NOT_READABLE"
        ) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise CatalogError(
            f"{path}:{line}: not UTF-8 text", f"byte {raw[error.start]:#04x}", "save as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        raise _syntax_error(path, error) from error
    finally:
        if loader is not None:
            loader.dispose()


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that composes nodes only, and refuses what can be abused."""

    path = Path()
    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            _refuse(
                self.path, line, "an alias", f"*{event.anchor}", "write it out; text that starts with * needs quotes"
            )
        if event.anchor is not None:
            _refuse(
                self.path, line, "an anchor", f"&{event.anchor}", "take it out; text that starts with & needs quotes"
            )
        if event.tag is not None:
            _refuse(self.path, line, "a tag", str(event.tag), "take it out; text that starts with ! needs quotes")
        if self.depth >= MAX_DEPTH:
            _refuse(self.path, line, "nesting", f"more than {MAX_DEPTH} levels", "flatten it")
        if self.nodes >= MAX_NODES:
            _refuse(self.path, line, "a document of this many values", f"more than {MAX_NODES}", "split it")
        self.nodes += 1
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_StrictLoader.yaml_implicit_resolvers = {}
_StrictLoader.add_implicit_resolver(_YAML + "null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_StrictLoader.add_implicit_resolver(_YAML + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_StrictLoader.add_implicit_resolver(_YAML + "int", re.compile(r"[-+]?[0-9]{1,18}$"), _NUMBER_STARTS)
_StrictLoader.add_implicit_resolver(
    _YAML + "float",
    re.compile(r"(?:[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    _NUMBER_STARTS,
)


def _refuse(path: Path, line: int, what: str, found: str, do: str) -> NoReturn:
    raise CatalogError(f"{path}:{line}: {what} is not allowed", _shown(found), do)


def _document(path: Path, root: Any) -> Document:
    if root is None:
        raise CatalogError(f"{path}:1: the document is empty", do="see `srcore catalog schema`")
    lines: dict[Key, int] = {}
    return Document(path, _value(path, root, (), lines), lines)


def _value(path: Path, node: Any, key: Key, lines: dict[Key, int]) -> Any:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return tuple(_value(path, item, (*key, i), lines) for i, item in enumerate(node.value))
    if isinstance(node, yaml.MappingNode):
        return _mapping(path, node, key, lines)
    return _scalar(node.tag.removeprefix(_YAML), node.value)


def _mapping(path: Path, node: Any, key: Key, lines: dict[Key, int]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, child in node.value:
        line = name.start_mark.line + 1
        if not isinstance(name, yaml.ScalarNode) or name.tag != _YAML + "str":
            found = name.value if isinstance(name, yaml.ScalarNode) else "a list or a mapping"
            _refuse(path, line, f"a key{_dotted(key)} that is not text", str(found), "put it in quotes")
        if name.value in values:
            raise CatalogError(
                f"{path}:{line}: duplicate key {_shown(name.value)}{_dotted(key)}",
                do=f"it stands on line {lines[*key, name.value]} too; keep one",
            )
        lines[*key, name.value] = line
        values[name.value] = _value(path, child, (*key, name.value), lines)
    return values


def _scalar(tag: str, text: str) -> Any:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text)
    if tag == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _syntax_error(path: Path, error: yaml.YAMLError) -> CatalogError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{path}:{mark.line + 1}" if mark is not None else f"{path}"
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return CatalogError(f"{where}: not valid YAML: {what}", do="text with * & ! @ % # : { [ in it needs quotes")


def _properties(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        yield from part.get("properties", {})


def _key(loc: tuple[str | int, ...]) -> Key:
    return tuple(part for part in loc if part not in INVENTED)


def _dotted(key: Key) -> str:
    return f" in {'.'.join(str(part) for part in key)}" if key else ""


def _shown(value: object) -> str:
    # a password in an address, which may hold a /, or a signature is repeated nowhere
    text = re.sub(r"(//[^\s'\"]*\?)[^\s'\"]*=[^\s'\"]*", r"\1...", re.sub(r"//\S*@", "//...@", repr(value)))
    return text if len(text) <= 80 else f"{text[:77]}..."
