"""A job without a catalog: one input, one output, as the command line names them; or an array, and no output."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from srcore.catalog.elsewhere import is_remote
from srcore.catalog.object_stores import refuse_address
from srcore.choices import Privacy
from srcore.errors import PlanError, SourceError
from srcore.job import OUTPUTS, Job
from srcore.layout import ProductPaths, band_files, safe_id
from srcore.registry.references import resolve
from srcore.storage.dicom.files import is_dicom
from srcore.storage.disk.card import is_card
from srcore.storage.nifti.door import ENDINGS, is_nifti
from srcore.storage.raster.beside import with_its_neighbours
from srcore.treatment import Treatment

TELLING = frozenset({"quicklook", "stac"})
"""What is not made of a private volume: a picture beside it, and a list of files."""
DEFAULT_MODEL = "srcore-x2"
_TREATMENT = frozenset(field.name for field in fields(Treatment))


def direct_job(
    source: str,
    output: Path,
    *,
    bands: tuple[str, ...] | None = None,
    privacy: Privacy | None = None,
    **options: Any,
) -> Job:
    """The job for `srcore upscale SOURCE OUTPUT`; `options` are fields of Job and of Treatment, `model` a reference.

    Every path is brought to its one normal form here: links, '.' and '..' are the user's own. With '{band}' in SOURCE
    every name in `bands` is a file of one band; SourceError when no bands are named. A volume is private unless
    `privacy` says that it is public.
    """
    refuse_address(output)
    product = ProductPaths(Path(os.path.realpath(output.parent)), output.name)
    model = resolve(options.pop("model", DEFAULT_MODEL))
    treatment = _treatment(options).for_model(model.slice_profile, model.usual_steps)
    paths = _paths(source, bands, options.pop("asset", None))
    private = _is_private(paths[0], privacy)
    if private:  # nothing beside the product shows or names what may tell of a patient
        options["outputs"] = tuple(one for one in options.get("outputs", OUTPUTS) if one not in TELLING)
        options["pictures"] = privacy != "hidden"
    return Job(
        paths=paths,
        private=private,
        model=model,
        treatment=treatment,
        product=product,
        scratch=product.folder / f".{product.stem}.srcore",  # beside it: a rename crosses no file systems
        scene=safe_id(product.stem),
        bands=bands,
        **options,
    )


def _is_private(path: Path, privacy: Privacy | None) -> bool:
    """Whether nothing beside the product may show or name it."""
    if privacy == "public":
        return False
    volume = False
    with suppress(OSError):  # what cannot be read is told by whoever reads it
        volume = path.exists() and (is_dicom(path) or (path.is_file() and is_nifti(path)))
    if is_card(path) and _is_volume_elsewhere(path):
        do = "copy the file, or say --privacy public of what is nobody's"
        raise PlanError("an address may tell of a patient, and stands in the receipt", "a volume elsewhere", do)
    if privacy is not None and not volume:
        do = "leave it out, or give the scene a dataset with `privacy: restricted`"
        raise PlanError("only a volume is hidden by hand", str(path), do, code="BAD_SETTING")
    return volume


def _is_volume_elsewhere(card: Path) -> bool:
    """Whether a file of the card is called a volume: nothing of it is fetched to know that."""
    from srcore.storage.remote.card import Card

    return any(file.name.lower().endswith(ENDINGS) for file in Card.load(card).files)


def _paths(source: str, bands: tuple[str, ...] | None, asset: str | None) -> tuple[Path, ...]:
    """The files of the scene; of one elsewhere its card."""
    if is_remote(source):
        from srcore.storage.remote.listing import card_at

        return (card_at(source, asset),)
    if asset is not None:
        found, do = source, "leave --asset out"
        raise SourceError("an asset is of a STAC item on the web or in a bucket", found, do, code="BAD_SETTING")
    return tuple(with_its_neighbours(Path(os.path.abspath(path))) for path in band_files(Path(source), bands))


def array_job(model: str, **options: Any) -> Job:
    """The job of an array: what is asked of the generator, and no place on any disk. `options` as for a file."""
    found = resolve(model)
    return Job(
        paths=(),
        model=found,
        treatment=_treatment(options).for_model(found.slice_profile, found.usual_steps),
        product=ProductPaths(Path(), "array.tif"),
        scratch=Path(),
        scene="array",
        **options,
    )


def _treatment(options: dict[str, Any]) -> Treatment:
    """The fields of a treatment, taken out of `options`."""
    return Treatment(**{name: options.pop(name) for name in _TREATMENT & options.keys()})
