"""The tags of flow runs: `srcore`, and `dataset:NAME`. Tasks have none: for each Prefect asks for a slot, 0.5 s."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from prefect import tags
from prefect.context import TagsContext

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
