"""A job: what to super-resolve, with what, to where. What the catalog, the command line and Python all come down to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from srcore.layout import ProductPaths
from srcore.limits import Changes
from srcore.registry.references import Model
from srcore.storage.dicom.files import dicom_files, is_dicom
from srcore.storage.disk.veil import telling
from srcore.storage.providers.find import members
from srcore.storage.providers.heed import layer_files
from srcore.storage.raster.beside import with_neighbours
from srcore.storage.window import WindowWish
from srcore.storage.wish import Wishes
from srcore.tiling import BLOCK_HR
from srcore.treatment import Treatment

OUTPUTS = ("cog", "stac", "report", "quicklook")
"""What is made of a scene where nobody says otherwise."""

FORMAT = 2
"""Of the configuration's digest and of receipts. 1, up to srcore 0.1: a list in which each new fact counted."""
_KNOWN_TO_1 = frozenset({"nodata", "back_projection", "denoise", "sharpen", "trust"})


@dataclass(frozen=True)
class Job:
    """What to super-resolve, with what, to where."""

    paths: tuple[Path, ...]
    product: ProductPaths
    scratch: Path
    """Parent of the scratch folder; must be on the product's file system."""
    scene: str
    model: Model
    treatment: Treatment = field(default_factory=Treatment)
    kind: Literal["raster", "volume"] | None = None
    """What the catalog says that the scene is; None: what its file is."""
    bands: tuple[str, ...] | None = None
    scale: tuple[int, ...] | None = None
    """A wish that the model has to meet; None takes the model's own."""
    tile: int | None = None
    """Core in LR pixels; None: from the scene's shape, the memory and the workers."""
    block: int = BLOCK_HR
    """SR pixels on each side of a block of the product. Nobody's option: tests of tiny scenes take a smaller one."""
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    overwrite: bool = False
    validate: bool = True
    dataset: str = ""
    outputs: tuple[str, ...] = OUTPUTS
    """What is made beside the data."""
    roots: tuple[Path, ...] | None = None
    """Folders that the sources must lie in; None where the user names the files."""
    hr: Path | None = None
    hr_roots: tuple[Path, ...] | None = None
    """Folders that the true HR must lie in; None where the user names the file."""
    window: WindowWish | None = None
    """A part of the scene; None: all of it."""
    fresh: bool = False
    """Start anew: what an earlier run left is not used."""
    beside: int = 1
    """Scenes that this one is done beside, itself counted: each gets its share of the memory."""
    limits: Changes = field(default_factory=dict)
    """Changes of the checks' limits."""
    private: bool = False
    """True where no record, log or page may name the files: they may tell of a patient."""
    pictures: bool = True
    """False where not even a private scene's own report may show it."""
    former: str = ""
    """Under which id the store has the scene from before its dataset became private, or public: that goes once the
    scene has a product under this one."""
    before: tuple[Mapping[str, float], ...] | None = None
    """Figures of the dataset's last products, newest first; None: whoever needs them looks at the receipts."""

    @property
    def home(self) -> Path:
        """The folder that the user chose, the store or that of the output: below it no link is followed."""
        return self.product.folder.parents[2] if self.dataset else self.product.folder

    @property
    def telling(self) -> tuple[Path, ...]:
        """Paths that no message of a private scene of a catalog may hold: its files, and the folders that they lie in
        below the source. None of any other: who names a file by hand is told of it by its name."""
        if not self.private or self.roots is None:
            return ()
        files = (*self.paths, *self.files, *([self.hr] if self.hr else []))
        return telling(files, (*self.roots, *(self.hr_roots or ())))

    @property
    def wishes(self) -> Wishes:
        """What the user and the model ask of the files, for the readers of headers."""
        own = {"bands": self.bands, "roots": self.roots, "guided": self.model.zoom}
        return cast(Wishes, {**self.treatment.of_files, **own})

    @property
    def files(self) -> tuple[Path, ...]:
        """The sources, and all that lies beside them and may be read for them."""
        if self.kind != "raster" and self.paths and is_dicom(self.paths[0]):
            return dicom_files(self.paths)
        if self.kind == "volume":
            return tuple(Path(os.path.realpath(path)) for path in self.paths)
        layers = layer_files(self.paths if self.treatment.mosaic else self.paths[:1], self.treatment.quality)
        if len(self.paths) == 1 and (found := members(self.paths[0])):
            return tuple(dict.fromkeys((*found, *layers)))
        real, near = with_neighbours(self.paths)
        return tuple(dict.fromkeys((*real, *near, *layers)))

    @property
    def configuration(self) -> str:
        """sha256 over all but the sources that decides the product; what is at its default adds nothing to it."""
        wishes = {"bands": self.bands, "scale": self.scale, "limits": dict(self.limits)}
        facts: dict[str, Any] = {
            "format": FORMAT,
            "model": self.model.digest,
            **{name: wish for name, wish in wishes.items() if wish},
            **({"precision": self.precision} if self.precision != "auto" else {}),
            **({"outputs": self.outputs} if self.outputs != OUTPUTS else {}),
            **({"window": str(self.window)} if self.window else {}),
            **({} if self.pictures else {"pictures": False}),  # a page that has some is made again without
            **self._treatment(),
        }
        return _digest(facts)

    def is_configuration(self, digest: str, of_format: int) -> bool:
        """Whether a receipt's digest, in its format, is that of this job: an upgrade alone makes nothing due."""
        if of_format == 1:
            return self._treatment().keys() <= _KNOWN_TO_1 and digest == self._configuration_1()
        return digest == self.configuration

    def _configuration_1(self) -> str:
        """What srcore 0.1 wrote for this job."""
        treatment = self.treatment
        facts: list[Any] = [
            self.model.digest,
            self.kind or "raster",
            self.bands,
            treatment.nodata,
            self.scale,
            self.precision,
            self.outputs,
            treatment.steps,
            self.limits,
        ]
        if self._wants_trust and self.model.trust is not None:
            facts.append(self.model.trust.model_dump())
        if treatment.denoise or treatment.sharpen:
            facts.append(("filters", str(treatment.denoise), str(treatment.sharpen)))
        return _digest(facts)

    @property
    def _wants_trust(self) -> bool:
        return "trust" in self.outputs

    def _treatment(self) -> dict[str, Any]:
        """What the treatment, with the model's calibration where a trust map is wanted, has beyond its defaults."""
        wanted = self._wants_trust and self.model.trust is not None
        trust = {"trust": self.model.trust.model_dump()} if wanted and self.model.trust is not None else {}
        return {**self.treatment.changed(), **trust}


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
