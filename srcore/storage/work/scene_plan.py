"""plan.json: all that the stages and the workers need to know of one scene before a pixel of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from srcore.errors import StoreError
from srcore.layout import ProductPaths, Scratch
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.veil import veiled, veiled_path
from srcore.storage.disk.watch import Stamp
from srcore.storage.header import Header
from srcore.storage.product import ProductFormat, product_format
from srcore.tiling import TilePlan
from srcore.treatment import Treatment
from srcore.trust import MEMBERS, Trust

FORMAT = 3
"""Of a scratch folder: of plan, arrays and markers. What is of another one is never used, but done again."""


@dataclass(frozen=True)
class ScenePlan:
    """All that the stages need to know of one scene; the content of plan.json."""

    dataset: str
    scene: str
    header: Header
    sources: tuple[Stamp, ...]
    """The header's files, as they were when it was read."""
    model: Path
    """Checkpoint folder."""
    model_digest: str
    tiles: TilePlan
    precision: str
    """'auto', 'float32', 'bfloat16' or 'int8'."""
    device: str
    """'auto', 'cpu' or 'cuda'."""
    backend: str
    """'auto', or one of `srcore.engine.backends`."""
    product: ProductPaths
    scratch: Scratch
    configuration: str
    """sha256 over model, parameters and bands: with the sources' digests, what makes a product due again."""
    treatment: Treatment
    """`tiles.halo` holds what it needs around a core."""
    validate: bool
    """False: gates are told, but do not stop the product."""
    outputs: tuple[str, ...]
    """What is made beside the data: stac, report, quicklook."""
    hr: Path | None = None
    """True HR of the scene, where the catalog knows one."""
    limits: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """The dataset's changes of the checks' limits."""
    model_reference: str = ""
    """What stood for the model where a registry was asked, and which version that was."""
    model_version: str = ""
    of: TilePlan | None = None
    """The tiles that the whole scene would have, where this is a window of it: the backend is chosen for them, and the
    numbers of all their pixels decide the normalisation."""
    private: bool = False
    """True where no record may name the files."""
    pictures: bool = True
    """False where not even a private scene's own report may show it."""
    before: tuple[Mapping[str, float], ...] | None = None
    """Figures of the dataset's last products, where a night knows them; None: VALIDATE looks. Not in plan.json: workers
    need none of it."""

    @property
    def form(self) -> ProductFormat:
        """What the product is written as: its name says it."""
        return product_format(self.product.name, self.header.kind)

    @property
    def is_shown(self) -> bool:
        """Whether its report has pictures: of what has a quicklook, and of a private volume, in its own page."""
        own = self.private and self.pictures and self.header.kind == "volume"
        return "quicklook" in self.outputs or (own and "report" in self.outputs)

    @property
    def values(self) -> int:
        """LR pixels times bands."""
        return len(self.header.bands) * prod(self.tiles.shape)

    @property
    def passes(self) -> int:
        """How often the network sees each of them."""
        return 1 if self.treatment.trust is None else MEMBERS

    def save(self) -> None:
        """Write plan.json, whole or not at all; of a private scene without the names of its files, which no worker
        reads."""
        (self._hidden() if self.private else self)._save()

    def _hidden(self) -> ScenePlan:
        series = self.treatment.series
        return replace(
            self,
            header=self.header.hidden(veiled_path),
            sources=tuple(replace(one, path=veiled_path(one.path)) for one in self.sources),
            hr=None,
            treatment=replace(self.treatment, series=series and veiled(series, 8)),
        )

    def _save(self) -> None:
        trust = self.treatment.trust
        value = {
            "format": FORMAT,
            **asdict(replace(self, before=None)),
            "header": self.header.to_json(),
            "model": str(self.model),
            "product": [str(self.product.folder), self.product.name],
            "scratch": str(self.scratch.folder),
            "hr": str(self.hr) if self.hr else None,
            "treatment": {**vars(self.treatment), "trust": trust.model_dump() if trust else None},
        }
        write_sealed(self.scratch.plan, value)

    @classmethod
    def load(cls, path: Path) -> ScenePlan:
        """The plan that `save` wrote; StoreError when it is not what was written, or of another version's format."""
        value = read_sealed(path)
        if (found := value.pop("format", 1)) != FORMAT:
            raise StoreError(f"{path.name} is of another version of srcore", f"format {found}", "run the scene again")
        folder, name = value["product"]
        return cls(
            **{
                **value,
                "header": Header.from_json(value["header"]),
                "sources": tuple(Stamp(**source) for source in value["sources"]),
                "model": Path(value["model"]),
                "tiles": _tiles(value["tiles"]),
                "product": ProductPaths(Path(folder), name),
                "scratch": Scratch(Path(value["scratch"])),
                "outputs": tuple(value["outputs"]),
                "of": _tiles(value["of"]) if value.get("of") else None,
                "hr": Path(value["hr"]) if value["hr"] else None,
                "treatment": _treatment(value["treatment"]),
            }
        )


def _treatment(value: Mapping[str, Any]) -> Treatment:
    ends = None if value["valid_range"] is None else tuple(value["valid_range"])
    trust = Trust.model_validate(value["trust"]) if value["trust"] else None
    return Treatment(**{**value, "valid_range": ends, "trust": trust})


def _tiles(value: dict[str, Any]) -> TilePlan:
    axes = {key: tuple(numbers) for key, numbers in value.items() if key not in ("block", "mirrored")}
    return TilePlan(**axes, block=value["block"], mirrored=value.get("mirrored", False))
