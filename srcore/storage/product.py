"""What a product can be written as. A new format is a room with a writer, and a line here."""

from __future__ import annotations

from dataclasses import dataclass

from srcore.errors import PlanError
from srcore.layout import FOLDER
from srcore.storage.header import Kind


@dataclass(frozen=True)
class ProductFormat:
    """A form that products are written in."""

    name: str
    """As the catalog's `products` calls it."""
    kind: Kind
    """What it can hold."""
    endings: tuple[str, ...]
    """Of file names; the first one is the archive's."""
    media_type: str
    title: str


COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PRODUCT_FORMATS = (
    ProductFormat(
        "cog",
        "raster",
        (".tif", ".tiff"),
        "image/tiff; application=geotiff; profile=cloud-optimized",
        "Super-resolved image",
    ),
    ProductFormat("nifti", "volume", (".nii.gz", ".nii"), "application/octet-stream", "Super-resolved volume (NIfTI)"),
    ProductFormat("dicom", "volume", (FOLDER,), "application/dicom", "Super-resolved series (DICOM)"),
)
SERIES = "or, for a DICOM series, the name of a folder without a dot in it"


def product_format(name: str, kind: Kind) -> ProductFormat:
    """The format of a product of that file name; PlanError BAD_OUTPUT where it cannot hold the kind.

    A volume's name without a dot is that of a folder of DICOM.
    """
    forms = [one for one in PRODUCT_FORMATS if one.kind == kind]
    for one in forms:
        if name.lower().endswith(one.endings) or (one.name == "dicom" and name and "." not in name):
            return one
    endings = [ending for one in forms if one.name != "dicom" for ending in one.endings]
    do = f"use a name that ends in {' or '.join(endings)}"
    raise PlanError(
        f"a {kind} cannot be written to {name}",
        "",
        f"{do}, {SERIES}" if kind == "volume" else do,
        code="BAD_OUTPUT",
    )


def archive_ending(form: str) -> str:
    """What the archive's products of a form end in."""
    return next(one for one in PRODUCT_FORMATS if one.name == form).endings[0]
