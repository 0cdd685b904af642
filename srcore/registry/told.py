"""What a version's run in MLflow keeps beside the checkpoint: figures, facts, curves, pages and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MOST_CHARACTERS = 500
"""Of a fact: MLflow takes no more of a parameter."""
_NO_KEY = re.compile(r"[^A-Za-z0-9_. /-]")


@dataclass(frozen=True)
class Told:
    """What is told of a checkpoint when it is registered."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Name to (step, value)."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """File name to text."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """File name to PNG."""
    description: str = ""
    """Of the version, for people."""


def log_run(client: Any, run: str, told: Told) -> None:
    """Write all of it into the run of that id."""
    for key, text in told.facts.items():
        client.log_param(run, key, text[:MOST_CHARACTERS])
    for key, value in told.metrics.items():
        client.log_metric(run, _NO_KEY.sub("-", key), value)
    for key, curve in told.curves.items():
        for step, value in curve:
            client.log_metric(run, _NO_KEY.sub("-", key), value, step=step)
    for key, text in told.pages.items():
        client.log_text(run, text, key)
    with TemporaryDirectory() as folder:  # MLflow takes bytes of a file alone
        for key, picture in told.pictures.items():
            path = Path(folder) / key
            path.write_bytes(picture)
            client.log_artifact(run, str(path), "pictures")
