"""The command upscale: one scene from a file to a file."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.dry_run import print_forecast
from flows.cli.notes import notes
from flows.cli.options import (
    DryRunOption,
    JsonOption,
    ModalityOption,
    ModelOption,
    RangeOption,
    ResampleOption,
    SchedulerOption,
    SeriesOption,
    ValuesOption,
    VolumeOption,
    WorkersOption,
    chosen_backend,
    chosen_workers,
    number_range,
    out,
    print_json,
    quality_wish,
    values_rule,
)
from flows.cli.window import BboxOption, CrsOption, WindowOption, window_wish
from flows.interrupt import Reached, interruptible
from srcore.choices import (
    MAX_BACK_PROJECTION,
    MAX_DENOISE,
    MAX_SHARPEN,
    AlphaRule,
    BackendRule,
    Device,
    Identity,
    PrecisionRule,
    Privacy,
    SliceProfile,
    Until,
)

if TYPE_CHECKING:
    from srcore.job import Job
    from srcore.storage.archive.publish import Receipt

UNGUARDED = 4
"""Exit status of a product that --no-validate let be written."""


def upscale(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A raster, a NIfTI volume, a Sentinel-2, Landsat or HLS folder; '{band}' joins one file a band; "
            "https://, s3://, gs:// or az:// of one, or of a STAC item.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            help="The product: .tif for a raster, .nii or .nii.gz for a volume, a folder for a DICOM series."
        ),
    ],
    model: ModelOption = "srcore-x2",
    scale: Annotated[str | None, typer.Option(help="N or z,y,x: refuse a model of another scale.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands by name or number, comma-separated.")] = None,
    asset: Annotated[str | None, typer.Option(help="Of a STAC item: which asset, by its key.")] = None,
    nodata: Annotated[float | None, typer.Option(help="The DN for 'nothing here', where the file has none.")] = None,
    alpha: Annotated[
        AlphaRule, typer.Option(help="A band called alpha: mask, data, or auto: its values tell.")
    ] = "auto",
    values: ValuesOption = "auto",
    valid_range: RangeOption = None,
    date: Annotated[
        str | None, typer.Option(help="When it was taken, or where the name says it: 2023-06-02, *_YYYYMMDD_*.tif.")
    ] = None,
    series: SeriesOption = None,
    volume: VolumeOption = None,
    resample: ResampleOption = None,
    modality: ModalityOption = None,
    identity: Annotated[
        Identity,
        typer.Option(help="Of a DICOM series: remove what tells of the patient, or keep it, for a hospital's archive."),
    ] = "remove",
    privacy: Annotated[
        Privacy | None,
        typer.Option(
            help="Of a volume: restricted (default), shown in its own report alone, no file named; hidden: no picture."
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(help="Heed a layer of clouds: SCL, CLASSI, QA_PIXEL, Fmask, udm2, auto, or the path of a mask."),
    ] = None,
    quality_as: Annotated[
        str, typer.Option(help="nodata: clouds have no pixels; band: the layer is a band more; flag: it is said.")
    ] = "flag",
    quality_use: Annotated[
        str | None, typer.Option(help="What is meant, comma-separated: cloud, shadow, cirrus (default), snow ...")
    ] = None,
    window: WindowOption = None,
    bbox: BboxOption = None,
    crs: CrsOption = None,
    device: Annotated[Device, typer.Option(help="What computes.")] = "auto",
    precision: Annotated[PrecisionRule, typer.Option(help="auto: bfloat16 where it is exact enough.")] = "auto",
    backend: Annotated[
        BackendRule | None, typer.Option(help="How it computes. Default: SRCORE_BACKEND, or auto, the fastest.")
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Core of a tile in LR pixels; up to whole blocks of the product.")
    ] = None,
    back_projection: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_BACK_PROJECTION,
            help="Steps that make the SR, averaged down, give the input back: one, by a slice profile three.",
        ),
    ] = None,
    slice_profile: Annotated[
        SliceProfile | None,
        typer.Option(
            help="What a thick slice is of thin ones: box, cos2 as scanners see, or as the model was trained."
        ),
    ] = None,
    denoise: Annotated[
        float,
        typer.Option(
            min=0,
            max=MAX_DENOISE,
            help="Take noise out of the input first: times the noise that is found, 1 is a good start.",
        ),
    ] = 0.0,
    sharpen: Annotated[
        float,
        typer.Option(min=0, max=MAX_SHARPEN, help="Sharpen the result by so much: 0.2 is seen, much more is stopped."),
    ] = 0.0,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also a map of how far each pixel may be off; eight times the work.")
    ] = False,
    validate: Annotated[bool, typer.Option(help="Let the gates stop the product.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    until: Annotated[Until, typer.Option(help="Stop behind this stage.")] = "publish",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Super-resolve one scene: INPUT to OUTPUT, with its STAC item, quicklook, report and receipt."""
    from flows.progress import bars
    from srcore.job import OUTPUTS
    from srcore.run.direct import direct_job
    from srcore.run.scene import run_scene

    where = chosen_workers(workers, scheduler)
    job = direct_job(
        source,
        output,
        model=model,
        scale=_scale(scale),
        bands=tuple(bands.split(",")) if bands else None,
        asset=asset,
        nodata=nodata,
        alpha=alpha,
        values=values_rule(values),
        valid_range=number_range(valid_range),
        date=date,
        series=series,
        volume=volume,
        resample=resample,
        modality=modality,
        identity=identity,
        privacy=privacy,
        quality=quality_wish(quality, quality_as, quality_use),
        device=device,
        precision=precision,
        backend=chosen_backend(backend),
        tile=tile,
        validate=validate,
        overwrite=overwrite,
        back_projection=back_projection,
        slice_profile=slice_profile,
        denoise=denoise,
        sharpen=sharpen,
        outputs=(*OUTPUTS, "trust") if trust else OUTPUTS,
        window=window_wish(window, bbox, crs),
    )
    if dry_run:
        from srcore.run.forecast import forecast

        print_forecast(forecast(job, where), as_json=as_json)
        return
    with interruptible(partial(kept, job)) as reached, bars(show=not as_json) as call:
        receipt = run_scene(job, where, reached.watch(call), until)
    if receipt is None:
        if as_json:
            print_json({"stopped_behind": until})
        else:
            out.print(f"stopped behind {until}; run again without --until to go on")
        return
    print_product(job, receipt, as_json=as_json)


def print_product(job: Job, receipt: Receipt, *, as_json: bool) -> None:
    """Where the product is, and what a user should know of it; exit UNGUARDED where a gate was not passed."""
    if as_json:
        print_json(asdict(receipt))
    else:
        failed = _failed_gates(receipt)
        told = f"written although {failed} was not passed" if failed else receipt.verdict
        beside = [one.name for one in receipt.outputs if one.name.partition("/")[0] != job.product.data.name]
        out.print(f"{told}: {job.product.data}")
        out.print(f"beside it: {', '.join([*beside, job.product.receipt.name])}")
        for line in notes([("", receipt.notes)]):
            typer.echo(line)
    if receipt.verdict == "quarantined":
        raise typer.Exit(UNGUARDED)


def _failed_gates(receipt: Receipt) -> str:
    """'gate a, gate b': what --no-validate let pass; empty for a product that passed."""
    failed = [check["id"] for check in receipt.checks if check["kind"] == "GATE" and not check["passed"]]
    return ", ".join(f"gate {name}" for name in failed) if receipt.verdict == "quarantined" else ""


def kept(job: Job, reached: Reached) -> str:
    """Where the work of an interrupted run lies; without a tile there is none, and it goes."""
    from srcore.storage.archive.sweep import sweep_done

    if not reached.tiles:
        sweep_done(job.scratch, job.product)
    return f"they lie in {job.scratch}" if reached.tiles else ""


def _scale(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither N nor z,y,x", param_hint="--scale") from None
