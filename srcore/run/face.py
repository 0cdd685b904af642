"""What `import srcore` offers: files, labelled arrays and bare arrays, through the same plan and the same engine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast, overload

from numpy.typing import NDArray

from srcore.choices import BACKENDS, PRECISIONS, AlphaRule, Privacy, Range, Told, ValuesRule
from srcore.dispatch import Workers
from srcore.errors import PlanError, SourceError
from srcore.run.bare import device_of, is_of, super_resolve_bare
from srcore.run.direct import DEFAULT_MODEL, array_job, direct_job
from srcore.settings import load_settings
from srcore.treatment import Treatment

if TYPE_CHECKING:
    from torch import Tensor
    from xarray import DataArray, Dataset

    from srcore.checks import Report
    from srcore.engine import Engine
    from srcore.limits import Changes
    from srcore.run.product import Product

FILES_ONLY: Mapping[str, Any] = {
    "output": None,
    "alpha": "auto",
    "values": "auto",
    "valid_range": None,
    "date": None,
    "privacy": None,
    "trust": False,
    "validate": True,
    "overwrite": False,
    "workers": None,
    "scheduler": None,
}
"""What has no meaning without a file, and how it says nothing."""

Pathlike = str | os.PathLike[str]


class Generating(TypedDict, total=False):
    """What `upscale` can be asked for, of labelled arrays."""

    model: Pathlike
    bands: str | Sequence[str | int] | None
    nodata: float | None
    scale: int | Sequence[int] | None
    device: str
    precision: str
    backend: str | None
    back_projection: int | None
    denoise: float
    sharpen: float
    tile: int | None


class Computing(TypedDict, total=False):
    """What `super_resolve` can be asked for."""

    nodata: float | None
    device: str | None
    precision: str
    backend: str | None
    back_projection: int | None
    denoise: float
    sharpen: float
    tile: int | None


class Publishing(Generating, total=False):
    """What `upscale` can be asked for, of a file."""

    alpha: AlphaRule
    values: ValuesRule | dict[str, ValuesRule]
    valid_range: Range | None
    date: str | None
    privacy: Privacy | None
    trust: bool
    validate: bool
    overwrite: bool
    workers: int | None
    scheduler: str | None


@overload
def upscale(source: DataArray, **options: Unpack[Generating]) -> DataArray: ...
@overload
def upscale(source: Dataset, **options: Unpack[Generating]) -> Dataset: ...
@overload
def upscale(source: Pathlike, output: Pathlike | None = None, **options: Unpack[Publishing]) -> Product: ...
def upscale(
    source: Any,
    output: Pathlike | None = None,
    *,
    model: Pathlike = DEFAULT_MODEL,
    bands: str | Sequence[str | int] | None = None,
    nodata: float | None = None,
    scale: int | Sequence[int] | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str | None = None,
    back_projection: int | None = None,
    denoise: float = 0.0,
    sharpen: float = 0.0,
    tile: int | None = None,
    alpha: AlphaRule = "auto",
    values: ValuesRule | dict[str, ValuesRule] = "auto",
    valid_range: Range | None = None,
    date: str | None = None,
    privacy: Privacy | None = None,
    trust: bool = False,
    validate: bool = True,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Any:
    """The SR of a file, as a published `Product`, or of an xarray.DataArray or Dataset, as the same, without files.

    A file goes the way of `srcore upscale SOURCE OUTPUT`, with its checks, STAC item, quicklook, report and receipt;
    `{band}` in its name joins one file a band. It needs an `output`: nothing is written where nobody said so. Tiles
    are computed in this process unless `workers` (or SRCORE_WORKERS) asks for more; then a script, not a notebook,
    has to begin under `if __name__ == "__main__":`. GateError when a check stops the product.

    A DataArray has rows and columns, maybe bands (a dimension `band`, `channel`, ..), and any others, which are done
    slice by slice. The SR has its dimensions, names, nodata, attributes and CRS, and scaled coordinates and transform;
    what cannot be kept is told as a warning. NaN is nodata in floats, a number where one is named. One in chunks (Dask)
    is read once for its normalisation, and then stays lazy: each chunk of the SR is a tile, computed when asked for.
    The pixels are those that a file of the same numbers would get; no checks are made. SRError, in one line, for
    whatever cannot be done.

    model: built-in name, checkpoint folder or NAME@champion. bands: names, or numbers from 1, in the wanted order.
    scale: refuse a model of another one. device: auto, cpu, cuda. precision: auto, float32, bfloat16, int8 (files).
    back_projection: steps that make the SR, averaged down, give the LR back; None: one. denoise, sharpen: as in
    `srcore upscale`. tile: core of a tile in LR pixels.

    For files: alpha says what a band of that name means (mask, data, or auto: its values tell); values what the numbers
    are (continuous, categorical, bits, circular, or auto; of single bands as {"SCL": "categorical"}); valid_range the
    ends that the SR keeps to, as (0, None) for what is never negative; date when the scene was taken, or where its name
    says so ("*_YYYYMMDD.tif"); privacy="public" lets a volume be shown and its files be named; trust makes a map of how
    far each pixel may be off; validate=False lets no check stop the product.

    >>> import srcore, xarray, numpy as np
    >>> from srcore.samples import make_large
    >>> make_large(Path("scene.tif"), side=64)
    >>> product = srcore.upscale("scene.tif", "scene-sr.tif", model="srcore-x2-fast")
    >>> product.verdict, product.data.name, product.page.name
    ('published', 'scene-sr.tif', 'scene-sr.report.html')
    >>> lr = xarray.DataArray(np.eye(40, dtype="float32"), {"y": 400 - 10.0 * np.arange(40)}, ("y", "x"))
    >>> sr = srcore.upscale(lr, model="bicubic-x2")
    >>> sr.shape, sr.dtype, sr.y.values[:3].tolist()
    ((80, 80), dtype('float32'), [402.5, 397.5, 392.5])
    """
    wishes = _wishes(nodata, scale, device, precision, backend)
    wishes |= {"back_projection": back_projection, "denoise": denoise, "sharpen": sharpen, "tile": tile}
    wishes |= {"model": os.fspath(model), "bands": _names(bands)}
    files: dict[str, Any] = {"output": output, "overwrite": overwrite, "workers": workers, "scheduler": scheduler}
    files |= {"alpha": alpha, "values": values, "valid_range": valid_range, "trust": trust, "validate": validate}
    files |= {"date": date, "privacy": privacy}
    if isinstance(source, str | os.PathLike):
        return _upscale_file(os.fspath(source), wishes, files)
    return _upscale_labelled(source, wishes, files)


def _upscale_file(source: str, wishes: dict[str, Any], files: dict[str, Any]) -> Product:
    """Through `direct_job` and `run_scene`, as the command line goes."""
    from srcore.job import OUTPUTS
    from srcore.run.product import Product
    from srcore.run.scene import run_scene

    if files["output"] is None:
        raise PlanError(
            f"no output is named for {source}", "", "give one: srcore.upscale(source, 'sr.tif')", code="BAD_OUTPUT"
        )
    where = _where(files["workers"], files["scheduler"])
    job = direct_job(
        source,
        Path(files["output"]),
        **wishes,
        alpha=files["alpha"],
        values=files["values"],
        valid_range=files["valid_range"],
        date=files["date"],
        privacy=files["privacy"],
        validate=files["validate"],
        overwrite=files["overwrite"],
        outputs=(*OUTPUTS, "trust") if files["trust"] else OUTPUTS,
    )
    receipt = run_scene(job, where)
    assert receipt is not None  # only a run that stops early has none
    return Product(job.product, receipt)


def _upscale_labelled(source: Any, wishes: dict[str, Any], files: dict[str, Any]) -> Any:
    if not is_of(source, "xarray"):
        what = "give a path, an xarray.DataArray or Dataset; for NumPy and torch: srcore.super_resolve"
        raise SourceError("the source cannot be read", type(source).__name__, what, code="NOT_SUPPORTED")
    unused = [name for name, value in files.items() if value != FILES_ONLY[name]]
    if unused:
        do = "leave it out, or give a path"
        raise PlanError("an array is given back, not published", f"{unused[0]} is set", do, code="BAD_SETTING")
    try:
        import rioxarray  # noqa: F401  gives arrays their .rio
        import xarray
    except ImportError as missing:
        do = "pip install 'srcore[xarray]'"
        raise SourceError("labelled arrays need rioxarray", str(missing), do, code="NOT_INSTALLED") from missing
    from srcore.run.labelled import super_resolve_dataset, super_resolve_labelled

    job = array_job(**wishes)
    if isinstance(source, xarray.Dataset):
        return super_resolve_dataset(source, job)
    return super_resolve_labelled(source, job)


@overload
def super_resolve(array: Tensor, *, model: Pathlike | Engine = ..., **options: Unpack[Computing]) -> Tensor: ...
@overload
def super_resolve(
    array: NDArray[Any], *, model: Pathlike | Engine = ..., **options: Unpack[Computing]
) -> NDArray[Any]: ...
def super_resolve(
    array: Any,
    *,
    model: Pathlike | Engine = DEFAULT_MODEL,
    nodata: float | None = None,
    device: str | None = None,
    precision: str = "auto",
    backend: str | None = None,
    back_projection: int | None = None,
    denoise: float = 0.0,
    sharpen: float = 0.0,
    tile: int | None = None,
) -> Any:
    """The SR of a whole array in its own dtype: NumPy gives NumPy, torch a tensor on its device, Dask stays lazy.

    For a generator of planes (Y, X), (C, Y, X) or (C, Z, Y, X), slice by slice; for one of volumes (Z, Y, X) or
    (C, Z, Y, X). Channels first, any number of them. Edges are reflected; what is larger than a tile is cut into exact
    ones. Each band is normalised by its own percentiles, over all of the array. `nodata`, NaN and Inf stay out of the
    generator and come back as `nodata` (NaN, where none is named). No gradients flow. Options as in `upscale`; `model`
    may be an engine, too, which then says device, precision and backend. SRError for whatever cannot be done.

    >>> import srcore, numpy as np
    >>> srcore.super_resolve(np.full((3, 20, 30), 7, "uint8"), model="bicubic-x2").shape
    (3, 40, 60)
    >>> srcore.super_resolve(np.zeros((8, 20, 30), "int16"), model="srcore-volume-x2").shape
    (16, 40, 60)
    """
    from srcore.engine import Engine

    engine = model if isinstance(model, Engine) else None
    there = device_of(array) if device is None else device
    wishes = _wishes(nodata, None, there, precision, backend)
    wishes |= {"back_projection": back_projection, "denoise": denoise, "sharpen": sharpen, "tile": tile}
    job = array_job(model=DEFAULT_MODEL if engine else os.fspath(cast(Pathlike, model)), **wishes)
    return super_resolve_bare(array, job, engine)


def validate(
    sr: Pathlike, lr: Pathlike, hr: Pathlike | None = None, *, limits: Changes | None = None, **told: Unpack[Told]
) -> Report:
    """Every check that an SR of whatever origin, its LR and maybe the true HR allow, as `srcore validate SR --lr LR`.

    The report has `verdict` (published, degraded or quarantined), `checks` and `failed_gates`. `limits` changes those
    of single checks: {"registration.shift": {"warn": 0.2}}. nodata, alpha, values and valid_range tell of the LR, as in
    `upscale`. SourceError or GridError for files that cannot be compared.

    >>> import srcore
    >>> from srcore.samples import make_large
    >>> make_large(Path("lr.tif"), side=64)
    >>> report = srcore.validate(srcore.upscale("lr.tif", "sr.tif", model="bicubic-x2"), "lr.tif")
    >>> report.verdict, report.failed_gates
    ('published', [])
    """
    from srcore.checks.pair import validate_pair
    from srcore.limits import with_changes

    Treatment(**told).check()
    return validate_pair(Path(sr), Path(lr), with_changes(limits or {}), None if hr is None else Path(hr), **told)


def open_engine(
    model: Pathlike = DEFAULT_MODEL, *, device: str = "auto", precision: str = "auto", backend: str = "eager"
) -> Engine:
    """The engine of a built-in model, a checkpoint folder or NAME@champion: one generator on one device.

    `engine.spec` says what it takes and gives, `super_resolve(array, model=engine)` uses it. Not thread-safe.
    CheckpointError when the model is not there, or its halo is not what its layers need.

    >>> import srcore, numpy as np
    >>> engine = srcore.open_engine("srcore-x2-fast", precision="float32")
    >>> engine.spec.scale, engine.spec.halo
    ((2, 2), (7, 7))
    >>> srcore.super_resolve(np.eye(32, dtype="float32"), model=engine).shape
    (64, 64)
    """
    from srcore.engine import open_engine as opened
    from srcore.registry.references import resolve

    _wishes(None, None, device, precision, backend)
    return opened(resolve(os.fspath(model)).folder, device, precision, backend)


def _wishes(
    nodata: float | None, scale: int | Sequence[int] | None, device: str, precision: str, backend: str | None
) -> dict[str, Any]:
    """Fields of a job; PlanError for a word that none of them knows."""
    chosen = backend or load_settings().backend
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", device) is None:
        raise PlanError("the device is not known", repr(device), "give auto, cpu or cuda", code="BAD_SETTING")
    for name, word, known in (("precision", precision, PRECISIONS), ("backend", chosen, BACKENDS)):
        if word not in known:
            raise PlanError(
                f"the {name} is not known", repr(word), f"give one of {', '.join(known)}", code="BAD_SETTING"
            )
    wanted = (scale,) if isinstance(scale, int) else None if scale is None else tuple(scale)
    return {"nodata": nodata, "scale": wanted, "device": device, "precision": precision, "backend": chosen}


def _names(bands: str | Sequence[str | int] | None) -> tuple[str, ...] | None:
    """Names of bands; in one string by commas, as on the command line."""
    if bands is None:
        return None
    return tuple(bands.split(",")) if isinstance(bands, str) else tuple(str(band) for band in bands)


def _where(workers: int | None, scheduler: str | None) -> Workers:
    """Arguments before settings; where neither says anything this process, which needs no guarded main module."""
    settings = load_settings()
    if workers is not None or scheduler is not None:
        return Workers(workers or 0, scheduler)
    return Workers(settings.workers or 0, settings.scheduler)
