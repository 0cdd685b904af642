"""EXPORT: the stitched scene as a georeferenced product with its STAC item and quicklook: staged, not yet visible."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from srcore.checkpoints import read_spec
from srcore.errors import printable
from srcore.layout import ProductPaths
from srcore.overlap import behind
from srcore.progress import Progress, silent
from srcore.report.painting import paint
from srcore.storage import cog
from srcore.storage.archive.publish import output_files
from srcore.storage.cube import verify_cube, write_cube
from srcore.storage.dicom.door import verify_series, write_series
from srcore.storage.dicom.facts import Facts
from srcore.storage.disk.card import is_card
from srcore.storage.disk.files import sha256_file
from srcore.storage.header import Header
from srcore.storage.nifti.door import verify_volume, write_volume
from srcore.storage.stac.document import write_item
from srcore.storage.stac.item import ProductFacts, build_item
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.sr_image import SrImage
from srcore.storage.work.tile_store import TileStore


def export(plan: ScenePlan, progress: Progress = silent) -> dict[str, str]:
    """Write product, STAC item and quicklook into the scene's staged folder, and read every block back.

    Gives the sha256 of each file by its name: what is published must still be what was read back.

    StoreError when a tile is missing or damaged, when the disk fills, or when what was read back differs.
    """
    store, staged = TileStore(plan), ProductPaths(plan.scratch.staged, plan.product.name)
    shutil.rmtree(staged.folder, ignore_errors=True)  # what an earlier, broken export left
    staged.folder.mkdir(parents=True)
    ingested = Ingested.require(plan.scratch, plan.scene)
    for tile in plan.tiles:  # a missing chunk would be read as fill, in silence
        store.check_masks(tile, ingested.sums[tile.index])
    targets = {"sr": staged.data, "trust": staged.trust}
    with behind() as aside:
        if plan.is_shown:
            aside(paint, plan, TileStore(plan), ingested, staged)
        for place, name in enumerate(store.images):
            WRITERS[plan.form.name](store, name, targets[name], _part(progress, place, len(store.images)))
        if "zarr" in plan.outputs:
            write_cube(staged.cube, staged.data, plan.header)
            verify_cube(staged.cube, staged.data, plan.header)
    if "stac" in plan.outputs:
        header = replace(plan.header, flags=(*plan.header.flags, *ingested.flags))
        write_item(staged.stac, build_item(staged.data, header, plan.tiles.scale, _facts(plan, staged)))
    # Hashed behind the reading back: what changes from here on is found by `publish`.
    return {name: sha256_file(path) for name, path in output_files(staged).items()}


def _write_cog(store: TileStore, name: str, target: Path, progress: Progress) -> None:
    """The file of an image, read back: what its markers vouch for is compared with the product itself."""
    encoded = store.encoded(name)
    cog.write_cog(target, encoded, _part(progress, 0, 2))
    cog.verify_cog(target, encoded, _part(progress, 1, 2))


def _checked(store: TileStore, name: str) -> SrImage:
    """An image of a volume, whose tiles are what their markers vouch for; StoreError else."""
    image = store.images[name]
    for tile in store.plan.tiles:
        image.check(tile, store.markers.require(tile.index, name))
    return image


def _write_nifti(store: TileStore, name: str, target: Path, progress: Progress) -> None:
    """The file of an image, read back; what its markers vouch for is compared first."""
    image, scale = _checked(store, name), store.plan.tiles.scale
    write_volume(target, image.form.header, scale, image.full)
    progress(1, 2)
    verify_volume(target, image.form.header, scale, image.full)
    progress(2, 2)


def _write_dicom(store: TileStore, name: str, target: Path, progress: Progress) -> None:
    """The derived series, read back; what its markers vouch for is compared first."""
    plan, image = store.plan, _checked(store, name)
    write_series(target, plan.header, plan.tiles.scale, image.full, _facts_of_series(plan))
    progress(1, 2)
    verify_series(target, plan.header, plan.tiles.scale, image.full)
    progress(2, 2)


def _facts_of_series(plan: ScenePlan) -> Facts:
    sources = Ingested.require(plan.scratch, plan.scene).sources
    return Facts(
        sources=tuple(one.sha256 for one in sources),
        model=read_spec(plan.model).name,
        model_digest=plan.model_digest,
        configuration=plan.configuration,
        identity=plan.treatment.identity,
    )


WRITERS = {"cog": _write_cog, "nifti": _write_nifti, "dicom": _write_dicom}
"""By the name of the product's format; the first half of the bar writes, the second reads back."""


def _part(progress: Progress, place: int, of: int) -> Progress:
    """The bar of one of `of` parts."""
    return lambda done, total: progress(place * total + done, of * total)


def _facts(plan: ScenePlan, staged: ProductPaths) -> ProductFacts:
    return ProductFacts(
        id=plan.scene,
        dataset=plan.dataset,
        sources=_derived_from(plan.header),
        quicklook=staged.quicklook if staged.quicklook.exists() else None,
        trust=staged.trust if staged.trust.exists() else None,
        cube=staged.cube if staged.cube.exists() else None,
        properties={
            "srcore:model": plan.model.name,
            "srcore:model_digest": plan.model_digest,
            **{f"srcore:{name}": amount for name, amount in plan.treatment.filters().items()},
            **({"srcore:window": window} if (window := _window(plan.header)) else {}),
            **_guided(plan.header),
            **({"srcore:values": values} if (values := _copied(plan.header)) else {}),
            **({"srcore:valid_range": ends} if (ends := plan.treatment.valid_range) else {}),
        },
    )


def _derived_from(header: Header) -> tuple[str, ...]:
    """Names of the source files; addresses of what lies elsewhere, and names of what was read here beside it."""
    there = [one.href if "://" in one.href else printable(Path(one.href).name) for one in header.origins]
    here = [printable(path.name) for path in header.paths if not (there and is_card(path))]
    return tuple(dict.fromkeys((*there, *here)))


def _window(header: Header) -> list[int]:
    """First column and row, columns and rows of a window in LR pixels of its scene; empty for a whole one."""
    if header.part is None:
        return []
    return [*reversed(header.part.start), *reversed(header.grid.shape)]


def _guided(header: Header) -> dict[str, list[str]]:
    """Which bands were brought to the grid of which others; empty where none was."""
    if not header.guides:
        return {}
    names = {"srcore:guided": header.names_of(header.guided), "srcore:guides": header.names_of(header.guides)}
    return names | ({"srcore:injected": header.names_of(header.injected)} if header.injected else {})


def _copied(header: Header) -> dict[str, str]:
    """What the bands are that no generator saw, by name."""
    return {band.name: band.values for band in header.bands if band.is_copied}
