"""File: every block decodes, the overviews show the picture, the layout and the STAC item are what they claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from srcore.checks import Check, abstain, judge
from srcore.errors import SRError, StoreError
from srcore.layout import ProductPaths
from srcore.limits import Limit
from srcore.storage.cube import verify_cube
from srcore.storage.header import Header
from srcore.storage.stac.any_product import layout_of, overview_difference, stac_error

BLOCKS = "every block of the file"


def file_checks(product: ProductPaths, limits: Mapping[str, Limit], *, cog: bool, stac: bool) -> list[Check]:
    """Findings on the file itself, after all of its full resolution was read; `cog`: it should be a COG."""
    checks = [Check("file.blocks", "GATE", True, "all read", "", "all", BLOCKS)]
    if cog:
        layout = layout_of(product.data)
        checks += [
            Check(
                "file.layout",
                "GATE",
                layout.is_cog,
                "COG" if layout.is_cog else "not a COG",
                "",
                "COG",
                "declared layout of the file",
                "it was written or changed by another tool",
            ),
            *overview_checks(product.data, layout.overviews, limits),
        ]
    if stac:
        error = stac_error(product.stac)
        checks.append(
            Check(
                "file.stac",
                "GATE",
                not error,
                error or "valid",
                "",
                "valid",
                "STAC item against STAC's schema and ours",
                "the item was changed",
            )
        )
    return checks


def cube_checks(product: ProductPaths, header: Header) -> list[Check]:
    """Whether the Zarr beside a product has its pixels, at every level; nothing where there is none."""
    if not product.cube.exists():
        return []
    try:
        verify_cube(product.cube, product.data, header)
        wrong = ""
    except StoreError as error:
        wrong = str(error)[:200]
    basis = "every pixel of the Zarr, all levels, against the COG"
    likely = "the Zarr is damaged, or of another product"
    return [Check("file.zarr", "GATE", not wrong, wrong or "equal", "", "equal", basis, likely)]


def overview_checks(path: Path, overviews: Sequence[int], limits: Mapping[str, Limit]) -> list[Check]:
    """Overviews against the averages of the level beneath, in a few windows of each level."""
    try:
        difference = overview_difference(path, overviews)
    except StoreError as error:
        return [unreadable(error)]
    if difference is None:
        return [abstain("file.overviews", "the file has none")]
    return [
        judge(
            limits,
            "file.overviews",
            difference,
            "deviations",
            "overviews against the averages beneath them",
            "an overview shows another picture",
        )
    ]


def unreadable(error: SRError) -> Check:
    """The finding that a block cannot be read."""
    return Check("file.blocks", "GATE", False, str(error)[:200], "", "all", BLOCKS, "the file is cut off or damaged")
