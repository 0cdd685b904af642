"""The demo: make the sample archive and its catalog, run the dataset over it, say what came out and where it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.progress import bars
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import scene_runner
from srcore.run.states import scene_states
from srcore.samples import make_archive, write_catalog
from srcore.storage.archive.publish import Receipt

DATASET = "sample-landscape"

out = Console(soft_wrap=True, highlight=False)


def run_demo(folder: Path, workers: Workers) -> None:
    """Run the demo with the catalog in `folder`, which is written where there is none; SRError when a scene fails."""
    path = write_catalog(folder)
    out.print("1. making the sample archive: a landscape of 4 bands, 16 bit, with a rotated nodata collar")
    for written in make_archive(folder / "incoming" / "sample"):
        out.print(f"   {written}")
    out.print(f"2. super-resolving dataset {DATASET}: plan, ingest, upscale, export, validate, publish")
    with bars() as call, scene_runner(workers, call) as run:
        outcomes = run_dataset(path, DATASET, run)
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed:
        raise SRError(f"the demo failed at scene {failed[0].scene}", failed[0].message, "please report it")
    out.print("3. what came out")
    out.print(_table(path, outcomes))
    catalog = load_catalog(path)
    for state in scene_states(catalog, DATASET):
        product = state.job.product
        out.print(f"{state.scene}\n   product    {product.data}")
        out.print(f"   STAC item  {product.stac}\n   quicklook  {product.quicklook}")
        out.print(f"   report     {product.page}")
    out.print(f"all of them: {DatasetPaths(Path(catalog.store) / DATASET).index}")
    out.print(f"Run it again and nothing is due. Next: srcore status, srcore serve, or your own entry in {path}.")


def _table(catalog: Path, outcomes: list[Outcome]) -> Table:
    table = Table("scene", "result", "seconds", "PSNR of bicubic", "PSNR of the product", "gain")
    receipts = {
        state.scene: Receipt.load(state.job.product.receipt) for state in scene_states(load_catalog(catalog), DATASET)
    }
    for outcome in outcomes:
        receipt = receipts[outcome.scene]
        figures = {check["id"]: check["value"] for check in receipt.checks} if receipt else {}
        table.add_row(
            outcome.scene,
            outcome.result,
            f"{outcome.seconds:.0f}",
            *(f"{figures[name]:.2f} dB" for name in ("reference.psnr_bicubic", "reference.psnr", "reference.gain")),
        )
    return table
