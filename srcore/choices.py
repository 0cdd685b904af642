"""What a user may choose: names and ranges, the same on the command line, in the catalog and in Python.

Numbers and words only, so that `srcore --help` knows them without numpy or torch.
"""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

AlphaRule = Literal["auto", "mask", "data"]
"""What a band that is called alpha means: by its values, a mask of the others, or data like any other."""
ALPHA_RULES: tuple[AlphaRule, ...] = get_args(AlphaRule)
ValuesRule = Literal["auto", "continuous", "categorical", "bits", "circular"]
"""What the numbers of a band are: auto, by what the file says and what they look like; amounts, which have a number
between any two; classes; bits of flags; angles, whose end is their beginning."""
VALUES_RULES: tuple[ValuesRule, ...] = get_args(ValuesRule)
Range = tuple[float | None, float | None]
"""Least and greatest number, both allowed; None: no end."""


QualityUse = Literal["nodata", "band", "flag"]
QUALITY_USES: tuple[QualityUse, ...] = get_args(QualityUse)
"""What is made of what a quality layer means: nodata in the product; a band more; a word in the report."""


Resample = Literal["even", "untilt"]
"""Of a DICOM series whose slices are unevenly spaced: even ones; untilt: straight ones too, of a tilted gantry."""


Modality = Literal["CT", "MR"]
"""What a volume is of, where its file does not say it: a NIfTI has no field for that."""


MosaicOrder = Literal["newest", "first"]
"""Which file of a mosaic comes first where several have a pixel: by the date when it was taken, or by its name."""


class QualityWish(TypedDict, total=False):
    """Which quality layer of a scene to heed, and how."""

    layer: str
    """SCL, CLASSI, QA_PIXEL, Fmask or udm2; auto: the provider's; else a path, in which {scene} is the file's name."""
    use: list[str | int] | None
    """Words or numbers of what is meant; None: cloud, shadow and cirrus, as far as the layer tells them apart."""
    as_: QualityUse
    skip_above: float | None
    """No product of a scene of which a larger share is meant."""


class Told(TypedDict, total=False):
    """What a user says of the numbers in files, for the readers of headers."""

    nodata: float | None
    """In place of the files' own numbers."""
    alpha: AlphaRule
    """What a band means that is called so."""
    values: ValuesRule | dict[str, ValuesRule]
    """What the numbers are, of all bands or by their names."""
    valid_range: Range | None
    """Ends that the numbers of all bands keep to."""
    quality: QualityWish | None
    """Which layer of clouds to heed, and how; None: none."""
    series: str | None
    """Which DICOM series of a folder; None: the only one."""
    volume: str | None
    """Which volume of a DICOM series of several, as EchoTime=30; None: the only one."""
    resample: Resample | None
    """What is made of a DICOM series that is not even or straight; None: it is refused."""
    modality: Modality | None
    """What a volume is of; None: what its file says, or its numbers."""
    mosaic: MosaicOrder | None
    """Which file comes first where several of a mosaic have a pixel; None: the scene is none."""
    date: str | None
    """When the files were taken, or where their names say it."""


SliceProfile = Literal["box", "cos2"]
"""What a slice of the LR is of thinner ones: their plain mean, or cos^2 over twice its thickness, as scanners see."""
Edge = Literal["reflect", "repeat"]
"""What a generator sees beyond an edge: the image mirrored about its last pixel's centre, or with that pixel again."""
Identity = Literal["remove", "keep"]
"""Of a derived DICOM series: whether it says who the patient is."""
Privacy = Literal["public", "restricted", "hidden"]
"""Whether scenes may be shown and named; volumes are restricted where nothing is said, rasters are public. Of a
restricted volume pictures lie in its own report alone; hidden: there are none at all."""
Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)
PrecisionRule = Literal["auto", "float32", "bfloat16", "int8"]
PRECISIONS: tuple[PrecisionRule, ...] = get_args(PrecisionRule)
BackendRule = Literal["auto", "eager", "fused", "compile", "openvino", "graphs", "onnxruntime"]
BACKENDS: tuple[BackendRule, ...] = get_args(BackendRule)
"""What `srcore.engine.backends` knows, and auto."""
Until = Literal["plan", "ingest", "upscale", "export", "validate", "publish"]
"""Where a run ends: the stages, and the end itself."""
BACK_PROJECTION, PROFILE_STEPS, MAX_BACK_PROJECTION = 1, 3, 4
"""Steps after the generator, by default, by default with a profile of slices, and at most; docs/decisions.md, 15 and
231, say what each costs and gives."""
MAX_DENOISE, MAX_SHARPEN = 4.0, 16.0
"""Far beyond what helps anywhere (docs/quality.md)."""
