"""What a night gives to the flow runs in it: tags, and its heartbeat.

The tags are `srcore`, and `dataset:NAME`. Tasks have none: for each Prefect asks for a slot, 0.5 s.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from prefect import tags
from prefect.context import TagsContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

TAG = "srcore"


def dataset_tag(dataset: str) -> str:
    """By which all runs of a dataset are found."""
    return f"dataset:{dataset}"


def tagged(*datasets: str) -> AbstractContextManager[Any]:
    """Around calls of flows about datasets."""
    return tags(TAG, *map(dataset_tag, datasets))


def untagged() -> AbstractContextManager[Any]:
    """Inside a flow, around its tasks, which would take its tags."""
    return TagsContext(current_tags=set())


def without_hearts() -> AbstractContextManager[Any]:
    """Inside a night, around the runs in it: they beat no heart of their own (decision 185).

    One process does both. A run with a heart waits for it at its end, half a second on average.
    """
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
