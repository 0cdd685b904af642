"""What a derived series says of how it was made. Knows no pydicom."""

from __future__ import annotations

from dataclasses import dataclass

from srcore.choices import Identity


@dataclass(frozen=True)
class Facts:
    """How a series was derived."""

    sources: tuple[str, ...]
    """sha256 of every file of the source."""
    model: str
    model_digest: str
    configuration: str
    """sha256 over all but the sources that decides the product."""
    identity: Identity
    """Whether what tells of the patient stays."""
