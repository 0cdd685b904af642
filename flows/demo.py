"""The demo: make the sample archive and its catalog, run the dataset over it, say what came out and where it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.progress import bars
from srcore.catalog import Catalog, load_catalog
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import scene_runner
from srcore.run.states import scene_states
from srcore.samples import make_archive, make_phantom, write_catalog
from srcore.storage.archive.publish import Receipt

DATASETS = ("sample-landscape", "sample-body")

out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def run_demo(folder: Path, workers: Workers) -> None:
    """Run the demo with the catalog in `folder`, which is written where there is none; SRError when a scene fails."""
    path = write_catalog(folder)
    out.print("1. making the sample archive: a landscape of 4 bands, 16 bit, with a rotated nodata collar")
    for written in make_archive(folder / "incoming" / "sample"):
        out.print(f"   {written}")
    out.print("   a drawn body in slices of 5 mm, and of 1 mm")
    out.print(f"   {make_phantom(folder / 'incoming' / 'body')}")
    catalog = load_catalog(path)
    there = [name for name in DATASETS if name in catalog.datasets]  # a catalog of an older version has one
    out.print(f"2. super-resolving {' and '.join(there)}: plan, ingest, upscale, export, validate, publish")
    outcomes = {}
    with bars() as call, scene_runner(workers, call) as run:
        for name in there:
            outcomes[name] = run_dataset(path, name, run)
    failed = [one for found in outcomes.values() for one in found if not one.ok]
    if failed:
        raise SRError(f"the demo failed at scene {failed[0].scene}", failed[0].message, "please report it")
    out.print("3. what came out")
    for name in there:
        out.print(_table(catalog, name, outcomes[name]))
        _places(catalog, name)
    out.print(f"Run it again and nothing is due. Next: srcore status, srcore serve, or your own entry in {path}.")


def _places(catalog: Catalog, dataset: str) -> None:
    for state in scene_states(catalog, dataset):
        product = state.job.product
        out.print(f"{state.scene}\n   product    {product.data}")
        if "stac" in state.job.outputs:
            out.print(f"   STAC item  {product.stac}")
        out.print(f"   quicklook  {product.quicklook}\n   report     {product.page}")
    out.print(f"all of them: {DatasetPaths(Path(catalog.store) / dataset).index}")


def _table(catalog: Catalog, dataset: str, outcomes: list[Outcome]) -> Table:
    table = Table("scene", "result", "seconds", "PSNR of bicubic", "PSNR of the product", "gain")
    receipts = {state.scene: Receipt.load(state.job.product.receipt) for state in scene_states(catalog, dataset)}
    for outcome in outcomes:
        receipt = receipts[outcome.scene]
        figures = {check["id"]: check["value"] for check in receipt.checks} if receipt else {}
        table.add_row(
            outcome.scene,
            outcome.result,
            f"{outcome.seconds:.0f}",
            *(_decibels(figures.get(name)) for name in ("reference.psnr_bicubic", "reference.psnr", "reference.gain")),
        )
    return table


def _decibels(value: float | str | None) -> str:
    return f"{value:.2f} dB" if isinstance(value, float) else "-"
