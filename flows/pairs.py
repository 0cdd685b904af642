"""The flow `collect-pairs`: pairs of HR and LR of a dataset, each checked and kept, or refused with its figures.

    srcore pairs collect DATASET

It runs on the `schedule` of `pairs`; with `on_arrival` also when files have arrived, and behind a night that published.

With PREFECT_API_URL set the run shows on that server; without, the same work is done with no server at all.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts import StageProgress, artifact_key, show_pairs
from flows.service.runs import begin
from flows.upscale import is_unexpected
from srcore.catalog import Catalog, load_catalog
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.progress import silent
from srcore.run.outcome import Outcome
from srcore.training.pairs.find import refuse_restricted

if TYPE_CHECKING:
    from srcore.training.pairs.table import Table

log = logging.getLogger(__name__)


@task(name="collect", task_run_name="collect", persist_result=False, cache_policy=NO_CACHE)
def _collect(catalog: Catalog, dataset: str, force: bool) -> Table | State[Any]:
    # torch and scikit-image take seconds to import: the schedules start without
    from srcore.training.pairs.store import collect_pairs

    progress = StageProgress("collect", artifact_key("pairs", "collect", dataset))
    try:
        return collect_pairs(catalog, dataset, progress, force=force)
    except SRError as error:
        return Failed(message=f"{error.code}: {error}", data=error)


@flow(name="collect-pairs", flow_run_name="{dataset}", persist_result=False)
def collect_pairs(catalog: str, dataset: str, force: bool = False) -> State[Any]:
    """Check the pairs of HR and LR of a dataset, keep the good ones, and say why the others are none.

    Args:
        catalog: Path of the catalog on the machine that runs the flow.
        dataset: Name of the dataset in the catalog.
        force: Check those again that were checked before.
    """
    logging.getLogger("prefect.flow_runs").addFilter(is_unexpected)
    try:
        catalog = begin(catalog)
        loaded = load_catalog(Path(catalog))
        refuse_restricted(loaded.dataset(dataset), dataset)
        # Prefect's overloads do not know that return_state gives a state
        state: State[Table] = _collect(loaded, dataset, force, return_state=True)  # type: ignore[assignment]
        table = state.result()
        show_pairs(table, DatasetPaths(Path(loaded.store) / dataset).pairs_page)
    except SRError as error:
        return Failed(message=f"{error.code}: {error}")
    return Completed(message=table.in_words())


def behind_night(catalog: Catalog, dataset: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Collect what a night made new, where `on_arrival` asks for it: notes, since no night fails by its pairs."""
    if not any(one.result in ("published", "degraded") for one in outcomes):
        return []
    told = {name: entry.pairs for name, entry in catalog.datasets.items() if entry.pairs is not None}
    asked = [name for name, pairs in told.items() if pairs.on_arrival and dataset in (name, pairs.hr)]
    return [_note(catalog, name) for name in asked]


def _note(catalog: Catalog, name: str) -> Outcome:
    from srcore.training.pairs.store import collect_pairs

    try:
        refuse_restricted(catalog.dataset(name), name)
        return Outcome("", "note", "", f"pairs of {collect_pairs(catalog, name, silent).in_words()}")
    except SRError as error:
        return Outcome("", "note", error.code, f"pairs of {name} were not collected: {error}")
    except Exception as error:  # whatever is wrong with a pair, what the night did stands; its words may be names
        log.warning("pairs of %s were not collected: %s", name, traceback.format_tb(error.__traceback__)[-1].strip())
        return Outcome("", "note", "UNEXPECTED", f"pairs of {name} were not collected: {type(error).__name__}")
