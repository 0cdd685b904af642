"""The catalog: WHAT data there is, one entry a dataset. Reads one YAML file; otherwise pure.

version: 1
store: ./archive                      # products, receipts and quarantine; relative to the catalog's folder, or s3://...
datasets:
  s2-alps:
    kind: raster                      # raster | volume
    source: ./incoming/s2/*.tif       # one file a scene; {scene}_{band}.tif joins files of one band each
    model: srcore-x2
    schedule: "0 2 * * *"
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from srcore.catalog.dataset import Dataset
from srcore.catalog.elsewhere import Stac
from srcore.catalog.keys import store_place
from srcore.catalog.object_stores import on_object_store, shown
from srcore.documents import read_document
from srcore.errors import CatalogError
from srcore.layout import SAFE_ID


class Catalog(BaseModel):
    """All datasets, and the store that their products go to."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    store: Annotated[str, AfterValidator(store_place)]
    """Folder of the products, absolute once loaded; of an object store the one that stands for it,
    see `catalog.object_stores`."""
    datasets: dict[str, Dataset] = Field(min_length=1)

    _base: Path = PrivateAttr(default_factory=Path)

    @property
    def shown_store(self) -> str:
        """The store as people know it: its folder, or its address."""
        return shown(Path(self.store))

    @property
    def base(self) -> Path:
        """The catalog's folder, where relative sources start."""
        return self._base

    @field_validator("datasets", mode="before")
    @classmethod
    def _check_names(cls, value: Any) -> Any:
        if value is None or value == {}:
            raise ValueError("no dataset yet; add one: srcore catalog add NAME './folder/*.tif'")
        names = list(value) if isinstance(value, dict) else []
        for name in names:
            if not isinstance(name, str) or not SAFE_ID.fullmatch(name):
                raise ValueError(
                    f"dataset name {str(name)[:60]!r}: letters, digits, '.', '_' and '-' only, at most 128"
                )
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError("two datasets differ only in upper and lower case")
        return value

    @model_validator(mode="after")
    def _check_hr_datasets(self) -> Catalog:
        for name, entry in self.datasets.items():
            other = entry.pairs.hr if entry.pairs else None
            if other is None or isinstance(other, Stac):
                continue
            if other == name or other not in self.datasets:
                known = ", ".join(one for one in self.datasets if one != name)
                raise ValueError(f"pairs of {name}: hr is {other!r}; another dataset is needed, of {known or 'none'}")
            if self.datasets[other].kind != entry.kind:
                raise ValueError(f"pairs of {name}: {other} is a {self.datasets[other].kind}, {name} a {entry.kind}")
        return self

    @model_validator(mode="after")
    def _check_object_store(self) -> Catalog:
        """What does not work on an object store is refused here, before anything lies there."""
        if not on_object_store(Path(self.store)):
            return self
        for name, entry in self.datasets.items():
            if entry.kind == "volume" and not entry.says_privacy:
                raise ValueError(
                    f"dataset {name}: volumes are private where nothing is said, and need a store that is a folder, "
                    "not an object store; write `privacy: public` for those that are nobody's"
                )
            if entry.privacy != "public":
                raise ValueError(
                    f"dataset {name}: 'privacy: {entry.privacy}' needs a store that is a folder, not an object store: "
                    "a bucket may keep versions, and its owner reads what is in it"
                )
        return self

    def hr_of(self, name: str) -> Dataset | None:
        """The dataset whose scenes are the HR of another's, for a search an entry of defaults; None: it has none."""
        entry = self.dataset(name)
        hr = entry.pairs.hr if entry.pairs else None
        if isinstance(hr, Stac):
            return Dataset(kind=entry.kind, source=hr, model=entry.model, roots=entry.roots)
        return None if hr is None else self.datasets[hr]

    def dataset(self, name: str) -> Dataset:
        """The entry of that name; CatalogError when there is none."""
        if name not in self.datasets:
            raise CatalogError(f"unknown dataset {name!r}", ", ".join(self.datasets), "use one of these")
        return self.datasets[name]


def load_catalog(path: Path) -> Catalog:
    """The catalog in `path`; CatalogError, in one line with file, line and key, when it is not one."""
    base = path.absolute().parent
    catalog = read_document(path).parse(Catalog, {"base": base})
    catalog._base = base
    return catalog


def catalog_schema() -> dict[str, Any]:
    """JSON Schema of a catalog, for editors and for checks elsewhere."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Catalog.model_json_schema()}
