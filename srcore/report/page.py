"""A product's report as one HTML page that needs nothing else: no network, no file beside it.

Pure: plain values and picture bytes in, text out; the same values give the same text. Everything that comes from
files or names is escaped by the template engine, and the page's policy lets no script run but its own. What differs
between two runs of the same work stands in <time> elements, and only there.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from srcore.report.evidence import Evidence
from srcore.report.pictures import Pictures
from srcore.report.place import place_figure
from srcore.report.words import CONSISTENCY, OF_VOLUMES, VERDICTS, family, in_words, without_folders
from srcore.report.written import histogram_figure, map_figure
from srcore.storage.archive.publish import Receipt
from srcore.storage.stac.footprint import Footprint

TEMPLATES = Path(__file__).parent / "templates"
NOT_MEASURED = "not measured"
"""State of a check that had nothing to say."""
MAX_HISTOGRAMS = 16
"""Bands drawn; hundreds would make a page that no phone shows."""

Rows = Sequence[tuple[str, str]]
"""Names and what they are, for a table of two columns."""


@dataclass(frozen=True)
class ReportFacts:
    """All that a page tells."""

    receipt: Receipt
    """As it will be published, its outputs perhaps not yet known."""
    shapes: tuple[str, str]
    """Size of the input and of the product."""
    bands: tuple[str, ...]
    unit: str
    """Of the values: DN unless the input says better."""
    source: Rows
    """What the input says of itself."""
    card: Rows
    """What the model's card says of it: headings and texts."""
    evidence: Evidence | None
    pictures: Pictures | None
    """None where no picture may be shown."""
    about: Rows = ()
    """When and where, units, sizes of the pixels: what a reader asks first."""
    outline: Footprint | None = None
    """Where it lies on the globe, where that is known and may be shown."""
    is_volume: bool = False
    links: Rows = ()
    """Names and relative addresses of what belongs to it."""
    map: str = ""
    """Relative address of its map, which `srcore serve` draws; none of what has none."""


@dataclass(frozen=True)
class Key:
    """A figure to read first."""

    value: str
    label: str
    passed: bool = True
    seconds: float | None = None
    """Where the value is a time span."""


def report_page(facts: ReportFacts) -> str:
    """The page: compare, checks, figures, provenance."""
    receipt = facts.receipt
    figures = _figures(facts)
    return render(
        "report.html",
        facts=facts,
        receipt=receipt,
        sentence=(OF_VOLUMES if facts.is_volume else VERDICTS)[receipt.verdict],
        keys=_keys(facts),
        groups=_groups(receipt),
        histograms=figures,
        place=place_figure(facts.outline) if facts.outline else None,
        map=_map(facts.evidence, "difference", "Map of the difference between the product averaged down and the input"),
        trust=_map(facts.evidence, "trust", "Map of how far the product may be off"),
        policy=policy(("slider.js", "planes.js"), "data:"),
    )


def _groups(receipt: Receipt) -> dict[str, list[Mapping[str, Any]]]:
    """The checks under their headings, both in the order in which they come."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for check in receipt.checks:
        groups.setdefault(family(check["id"]), []).append(check)
    return groups


def _figures(facts: ReportFacts) -> list[dict[str, Any]]:
    """The histograms of the bands."""
    if facts.evidence is None:
        return []
    return [
        {"band": band, "figure": histogram_figure(f"band{index}", band, one, facts.unit), "beyond": max(one.beyond)}
        for index, (band, one) in enumerate(zip(facts.bands, facts.evidence.histograms, strict=True))
        if index < MAX_HISTOGRAMS
    ]


def _map(evidence: Evidence | None, name: Literal["difference", "trust"], label: str) -> Markup | None:
    """One of the evidence's maps, where it was counted."""
    cells = getattr(evidence, name, None)
    return None if evidence is None or cells is None else map_figure(name, evidence, cells, label)


def _keys(facts: ReportFacts) -> list[Key]:
    checks = {check["id"]: check for check in facts.receipt.checks}
    failed = [check for check in checks.values() if not check["passed"]]
    judged = [check for check in checks.values() if check["kind"] != "INFO"]
    silent = [check for check in checks.values() if check.get("state") == NOT_MEASURED]
    scale = " x ".join(str(factor) for factor in facts.receipt.parameters["scale"])
    keys = [
        Key(f"{len(judged) - len(failed)} of {len(judged)}", "checks passed", not failed),
        Key(scale, f"finer: {facts.shapes[0]} to {facts.shapes[1]}"),
    ]
    if silent:
        keys.append(Key(str(len(silent)), "checks not measured: there was no basis for them here"))
    if gain := _measured(checks, "reference.gain"):
        keys.append(Key(f"{gain['value']:+.2f} dB", "closer to the true image than bicubic", gain["passed"]))
    if ratio := _measured(checks, "consistency.ratio"):
        told = CONSISTENCY.format(plain="trilinear" if ratio["unit"] == "x trilinear" else "bicubic")
        keys.append(Key(f"{_two_digits(ratio['value'])} x", told, ratio["passed"]))
    seconds = sum(facts.receipt.seconds.values())
    return [*keys, Key(duration(seconds), "from the input to the product", seconds=seconds)]


def _two_digits(value: float) -> str:
    """A share for a headline; a tiny one is not called 0."""
    return f"{value:.2f}" if value >= 0.01 else number(value)


def _measured(checks: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """A check whose value is a number."""
    check = checks.get(name)
    return check if check is not None and isinstance(check["value"], int | float) else None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number,
        "duration": duration,
        "moment": moment,
        "jpeg": _jpeg,
        "words": _words,
        "setting": setting,
        "plain": without_folders,
        "file_name": _file_name,
    }
    environment.globals |= {"file": _file}
    return environment


def render(name: str, **values: Any) -> str:
    """A template of this package, with everything escaped that is put into it."""
    return _environment().get_template(name).render(**values)


@cache
def _file(name: str) -> Markup:
    """A style sheet or script of this package, as it stands."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def policy(scripts: Sequence[str], images: str) -> str:
    """The content security policy of a page: its own scripts by digest, pictures from `images`, nothing else."""
    rules = f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'"
    digests = [b64encode(hashlib.sha256(_file(script).encode()).digest()).decode("ascii") for script in scripts]
    ours = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"{rules}; script-src {ours}" if ours else rules


def number(value: Any) -> str:
    """A value for people: four digits that count, no exponent where it can be helped."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not isfinite(value):
        return "not a number" if value != value else "infinite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def setting(value: Any) -> str:
    """A value of a recipe for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return " x ".join(map(setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def moment(text: str) -> str:
    """An ISO 8601 time for people, to the minute in UTC; text that is none stays as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def _words(check: Mapping[str, Any]) -> str:
    return in_words(check["id"], check["basis"])


def _file_name(path: str) -> str:
    """Of a source: its folder is no business of the page."""
    return path.rpartition("/")[2] or path


def _jpeg(data: bytes) -> Markup:
    return Markup("data:image/jpeg;base64," + b64encode(data).decode("ascii"))
