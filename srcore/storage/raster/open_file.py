"""A raster while its header is read: the open file, what lies beside it, and what is noted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srcore.errors import printable
from srcore.storage.raster.beside import Beside
from srcore.storage.raster.pam import Pam
from srcore.storage.wish import Wish


@dataclass(frozen=True)
class OpenFile:
    """One file of a scene."""

    path: Path
    dataset: Any
    """rasterio's, open."""
    beside: Beside
    pam: Pam
    wish: Wish
    flags: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Names of tags that are not kept."""
    used: dict[Path, list[str]] = field(default_factory=dict)
    """Files beside it that were read, and what for."""

    @property
    def roots(self) -> Sequence[Path] | None:
        """Folders that may be read."""
        return self.wish.roots

    @property
    def dtype(self) -> str:
        """numpy name of the pixels' type."""
        return str(self.dataset.dtypes[0])

    def flag(self, text: str) -> None:
        """Note what a user should know."""
        self.flags.append(text)

    def use(self, path: Path | None, *words: str) -> None:
        """Note that a file beside this one was read for something."""
        if path is not None and words:
            self.used.setdefault(path, []).extend(word for word in words if word not in self.used.get(path, ()))

    def colour(self, index: int) -> str:
        """GDAL's name for what a band (1-based) shows."""
        own = str(self.dataset.colorinterp[index - 1].name)
        # What GDAL makes of a raster whose zero is white is a ramp, no table of classes.
        ramp = own == "palette" and "MINISWHITE" in self.dataset.tags(ns="IMAGE_STRUCTURE")
        return self.pam.band(index).colour or ("undefined" if ramp else own)

    def told(self) -> tuple[str, ...]:
        """All flags, each once."""
        read = (f"read beside the file: {path.name} ({', '.join(words)})" for path, words in self.used.items())
        names = list(dict.fromkeys(self.dropped))
        lost = [f"dropped tags, not kept or false at another scale: {', '.join(names)}"] if names else []
        return tuple(dict.fromkeys(map(printable, (*read, *self.flags, *lost))))
