"""What is right of each small file that misleads: what a product must keep, or that it must be refused.

Early: with exit code 2, before a pixel is computed and in one line; a gate that stops a scene after all the work is
no refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.archive import right
from benchmarks.archive.right import Check, either, fact, kept, told, within


@dataclass(frozen=True)
class Case:
    """A scene of one or more files, and what is right."""

    files: tuple[str, ...]
    """Below cases/."""
    checks: tuple[Check, ...] | None = ()
    """Of a product; None: it must be refused."""
    refused: frozenset[str] = frozenset()
    """Reason codes that are right as well; '*': any, told early."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of srcore.run.direct.direct_job."""
    name: str = ""

    @property
    def title(self) -> str:
        """For the table."""
        return self.name or " + ".join(file.rpartition("/")[2] for file in self.files)


ANY = frozenset({"*"})
SIDECAR = frozenset({"SIDECAR"})
PLACE = (right.same_place, right.near)
NEAREST = (right.same_place, right.nearest())


def raster(
    *files: str,
    checks: tuple[Check, ...] | None = PLACE,
    refused: frozenset[str] = frozenset(),
    name: str = "",
    **options: Any,
) -> Case:
    """A case of raster/."""
    return Case(tuple(f"raster/{file}" for file in files), checks, refused, options, name)


def volume(file: str, checks: tuple[Check, ...] | None = PLACE, refused: frozenset[str] = frozenset()) -> Case:
    """A case of medical/."""
    return Case((f"medical/{file}",), checks, refused)


def bands(pattern: str, *names: str, **options: Any) -> Case:
    """Files of one band each as one scene."""
    files = tuple(f"raster/{pattern.replace('{band}', name)}" for name in names)
    return Case(files, options.pop("checks"), options.pop("refused", frozenset()), {"bands": names, **options}, pattern)


CASES = (
    raster("ext_mask.tif", checks=(*PLACE, right.mask_kept), refused=SIDECAR),
    raster(
        "pam_nodata.tif",
        checks=(
            *PLACE,
            right.mask_kept,
            kept("nodata"),
            kept("scales"),
            kept("offsets"),
            kept("units"),
            kept("descriptions"),
        ),
        refused=SIDECAR,
    ),
    raster(
        "worldfile.tif",
        checks=(right.near, either(right.same_place, told("place|world|georef|transform"))),
        refused=ANY,
    ),
    raster("rgbn_nir_is_alpha.tif", checks=(right.not_darkened, told("alpha")), refused=ANY, name="rgbn, unnamed"),
    raster(
        "rgbn_nir_is_alpha.tif",
        checks=(right.not_darkened, right.near),
        bands=("1", "2", "3", "4"),
        name="rgbn, all four named",
    ),
    raster("gcps.tif", checks=(right.near, right.points_kept)),
    raster("mask_and_nan_band2.tif", checks=(*PLACE, right.mask_kept)),
    raster("alpha_float_nan.tif", checks=(right.same_place, right.alpha_and_nan_kept)),
    bands("md_{band}.tif", "B1", "B2", checks=(*PLACE, right.mask_kept), refused=ANY),
    bands("mixed nodata_{band}.tif", "B1", "B2", checks=(*PLACE, right.mask_kept), refused=ANY),
    bands("LC08_{band}.tif", "B4", "B5", checks=(*PLACE, right.mask_kept)),
    bands("LC08_{band}.tif", "B4", "B5", "QA_PIXEL", checks=(right.same_place, right.nearest(2)), refused=ANY),
    raster("LC08_QA_PIXEL.tif", checks=(*NEAREST, right.mask_kept), refused=ANY),
    raster("dem_nodata_trunc_tag.tif", checks=(*PLACE, right.mask_kept, right.near_their_span)),
    raster("gee_neg_inf.tif", checks=(*PLACE, right.mask_kept, either(kept("nodata"), told("written as NaN")))),
    raster("landcover_plain.tif", checks=(*NEAREST, kept("nodata")), refused=ANY),
    raster("scl.tif", checks=(*NEAREST, kept("nodata")), refused=ANY),
    raster("landcover_palette.tif", checks=(*NEAREST, kept("palette")), refused=ANY),
    raster("mask_nbits1.tif", checks=NEAREST, refused=ANY),
    raster("mask0_255.tif", checks=NEAREST, refused=ANY),
    raster("sar_sigma0_linear.tif", checks=(*PLACE, either(within(0, 1e9), told("negative|sign")))),
    raster("sar_sigma0_linear.tif", checks=(*PLACE, within(0, 1e9)), valid_range=(0.0, 1e9), name="sar, valid_range"),
    raster("probability.tif", checks=(*PLACE, either(within(0, 1), told("range|negative|sign|beyond|outside")))),
    raster("probability.tif", checks=(*PLACE, within(0, 1)), valid_range=(0.0, 1.0), name="probability, valid_range"),
    raster("ndvi.tif", checks=(*PLACE, either(within(-1, 1), told("bounded|beyond")))),
    raster("ndvi.tif", checks=(*PLACE, within(-1, 1)), valid_range=(-1.0, 1.0), name="ndvi, valid_range"),
    raster("tree_cover_percent.tif", checks=(*PLACE, right.mask_kept, either(within(0, 100), told("bounded|beyond")))),
    raster("nbits12.tif", checks=(*PLACE, within(0, 4095), told("12 bits"))),
    raster("aspect_deg.tif", checks=(*PLACE, told("circular")), refused=ANY),
    raster("aspect_deg.tif", checks=NEAREST, refused=ANY, values="circular", name="aspect, values: circular"),
    raster("sparse_no_nodata.tif", checks=(*PLACE, told("5 of 20")), refused=ANY),
    raster(
        "hls_like.tif",
        checks=(
            *PLACE,
            told("date unknown"),  # its tags name GSD and rows, and no time
            right.no_false_tag("SPATIAL_RESOLUTION", "GSD", "NROWS", "NCOLS", "PIXEL_SIZE", "lines", "samples"),
        ),
    ),
    raster("LC08_L2SP_193029_20230602_20230607_02_T1_SR_B4.TIF", checks=(*PLACE, right.dated("2023-06-02"))),
    raster("domains.tif", checks=(*PLACE, either(right.tag_kept("PROVIDER.CLOUD"), told("domain|PROVIDER")))),
    raster(
        "minwhite.tif",
        checks=(*PLACE, either(right.tag_kept("IMAGE_STRUCTURE.MINISWHITE"), told("white"))),
        refused=ANY,
    ),
    raster("orientation6.tif", checks=(told("orientation|turned"),), refused=ANY),
    raster("one_hot_pixel.tif", checks=(right.same_place,)),
    raster("real_rasterio_float_nan_2x3.tif", checks=(right.same_place,)),
    raster("last_strip_over.tif", checks=(right.near, told("strip|byte"))),
    raster("dem_undeclared_-9999.tif", checks=(right.same_place, told("-9999")), refused=frozenset({"UNDECLARED"})),
    raster("int16_undeclared_1pct.tif", checks=(right.same_place, told("-9999")), refused=frozenset({"UNDECLARED"})),
    volume("07_shear_sform.nii.gz", checks=(right.near, told("shear"))),
    volume("09_none.nii.gz", checks=(right.near, told("qform|sform|affine|assum"))),
    volume("15_float_nan_inf.nii.gz", checks=(right.finite_as, told("inf"))),
    volume("30_slope_1_inter_-1024.nii.gz", checks=(right.near, fact("inter", -1024.0))),
    volume("53_extension.nii.gz", checks=(right.near, told("extension"))),
    volume("61_1slice.nii", checks=(right.one_slice, right.near), refused=ANY),
    volume("65_4d_t1.nii", checks=(right.near,), refused=ANY),
    volume("72_label_intent.nii.gz", checks=(right.no_label_invented,), refused=ANY),
    volume("73_label_nointent.nii.gz", checks=(right.no_label_invented,), refused=ANY),
    volume("81_ct_padding_-2000.nii.gz", checks=(right.padding_kept(-2000),)),
    volume("85_pixdim_zero.nii.gz", checks=(told("spacing|pixdim|affine"),), refused=ANY),
    volume("87_pixdim_neg.nii.gz", checks=None, refused=ANY),
    volume("99_slices_on_i.nii.gz", checks=(right.near,)),
)
