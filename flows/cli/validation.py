"""The command validate: any SR against its LR, by the checks that every product passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import (
    CatalogOption,
    JsonOption,
    ModalityOption,
    RangeOption,
    ResampleOption,
    SeriesOption,
    ValuesOption,
    VolumeOption,
    chosen_catalog,
    here,
    number_range,
    out,
    print_json,
    values_rule,
)

if TYPE_CHECKING:
    from srcore.checks import Check, Report


ENDINGS = {
    "published": "passed",
    "degraded": "passed, with warnings",
    "quarantined": "stopped: a gate was not passed",
}
"""Verdict in the words of who only looks: nothing is published here."""


def validate(
    product: Annotated[
        Path,
        typer.Argument(
            metavar="SR",
            help="The product: a raster or NIfTI volume of any tool; '{band}' joins one file a band; or s3://...",
        ),
    ],
    lr: Annotated[
        Path, typer.Option("--lr", help="What it was made from; '{band}' joins one file a band.", callback=here)
    ],
    hr: Annotated[Path | None, typer.Option("--hr", help="The true HR, where it is known.", callback=here)] = None,
    bands: Annotated[str | None, typer.Option(help="Bands of the LR by name or number, comma-separated.")] = None,
    values: ValuesOption = "auto",
    valid_range: RangeOption = None,
    series: SeriesOption = None,
    volume: VolumeOption = None,
    resample: ResampleOption = None,
    modality: ModalityOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Take limits, and what files do not say, from this dataset of the catalog."),
    ] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check SR against its LR, at any whole scale on each axis; exit 3 when a gate is not passed."""
    from srcore.catalog import load_catalog
    from srcore.checks.pair import validate_pair
    from srcore.limits import with_changes
    from srcore.storage.objects.copies import local_copy
    from srcore.treatment import Treatment

    changes, said = {}, Treatment()
    if dataset is not None:
        entry = load_catalog(chosen_catalog(catalog)).dataset(dataset)
        changes = {name: change.model_dump(exclude_unset=True) for name, change in entry.checks.items()}
        said = entry.treatment
    if values != "auto":
        said = replace(said, values=values_rule(values))
    if valid_range is not None:
        said = replace(said, valid_range=number_range(valid_range))
    told: dict[str, Any] = {"series": series, "volume": volume, "resample": resample, "modality": modality}
    said = replace(said, **{name: value for name, value in told.items() if value is not None})
    said.check()
    names = tuple(bands.split(",")) if bands else None
    with local_copy(product) as copy:
        report = validate_pair(copy, lr, with_changes(changes), hr, bands=names, **said.of_files)
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.failed_gates:
        raise typer.Exit(3)


def _print(report: Report) -> None:
    from rich.table import Table

    table = Table("check", "", "value", "limit", "what was compared")
    for check in report.checks:
        table.add_row(
            check.id,
            _mark(check),
            _value(check),
            "" if check.limit is None else str(check.limit),
            check.basis if check.passed else f"{check.basis}: {check.hint}",
        )
    out.print(table)
    if report.not_measured:
        out.print(f"{len(report.not_measured)} of {len(report.checks)} checks not measured: no basis for them here")
    out.print(ENDINGS[report.verdict])


def _mark(check: Check) -> str:
    if check.state == "not measured":
        return check.state
    return "" if check.kind == "INFO" else "ok" if check.passed else check.kind


def _value(check: Check) -> str:
    if check.state == "not measured":
        return ""
    value = check.value if isinstance(check.value, str) else f"{check.value:.4g}"
    return f"{value} {check.unit}".strip()
