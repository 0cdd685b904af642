"""What a night gives to the flow runs in it: tags, and its heartbeat.

The tags are `srcore`, `dataset:NAME`, and `pool:NAME` where others use the server, too. Tasks have none: for each
Prefect asks for a slot, 0.5 s.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from prefect import tags
from prefect.context import TagsContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.guard import POOL

TAG = "srcore"
BY_HAND = "by-hand"
"""The deployment of `upscale-scene`, which is always there."""


def dataset_tag(dataset: str) -> str:
    """By which all runs of a dataset are found."""
    return f"dataset:{dataset}"


def pool_tag(pool: str) -> str:
    """By which all that belongs to a service is found on a server that others use, too."""
    return f"pool:{pool}"


def our_tags() -> list[str]:
    """What all deployments and runs of this service have."""
    pool = os.environ.get(POOL)
    return [TAG, *([pool_tag(pool)] if pool else [])]


def here(name: str) -> str:
    """The name of a deployment or automation on this service's server: NAME@POOL where others use it, too."""
    pool = os.environ.get(POOL)
    return f"{name}@{pool}" if pool else name


def tagged(*datasets: str) -> AbstractContextManager[Any]:
    """Around calls of flows about datasets."""
    return tags(*our_tags(), *map(dataset_tag, datasets))


def untagged() -> AbstractContextManager[Any]:
    """Inside a flow, around its tasks, which would take its tags."""
    return TagsContext(current_tags=set())


def without_hearts() -> AbstractContextManager[Any]:
    """Inside a night, around the runs in it: they beat no heart of their own (decision 185).

    One process does both. A run with a heart waits for it at its end, half a second on average.
    """
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
