"""The recipes that a search may try: values put into a recipe by their keys, and all that is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch

from srcore.checkpoints import Architecture, Spec
from srcore.errors import CatalogError, CheckpointError
from srcore.models import Generator
from srcore.training.config import TrainConfig, parse_config
from srcore.training.space import Range, Search
from srcore.weights import build

FIXED = frozenset(
    {
        "name",
        "data",
        "validation",
        "place",
        "held_out",
        "output",
        "least_images",
        "steps",
        "seed",
        "device",
        "threads",
        "save_every",
        "log_every",
        "validate_every",
        "patience",
        "tensorboard",
        "compile",
        "devices",
        "licence",
        "attribution",
        "limits",
        "search",
    }
)
"""Keys that are the same in all trials, or the trials could not be compared."""
MOST_ARCHITECTURES = 1000


def searched(config: TrainConfig) -> Search:
    """The recipe's key `search`, checked: CatalogError names a key or value that no training could take."""
    if config.search is None:
        raise CatalogError("there is nothing to search", "a recipe without the key `search`", "add it: docs/quality.md")
    if config.validation is None and not config.held_out:
        raise CatalogError(
            "a search has nothing to judge by", "neither `validation` nor `held_out`", "give one of both"
        )
    refuse_devices(config)
    if config.search.evaluate_every > config.search.steps:
        raise CatalogError(
            "search.evaluate_every is more than search.steps",
            f"{config.search.evaluate_every} and {config.search.steps}",
            "correct one of both",
        )
    for key, dimension in config.search.space.items():
        if key.split(".")[0] not in {*TrainConfig.model_fields} - FIXED:
            raise CatalogError(
                f"search.space.{key} cannot be searched",
                "no key of a recipe that may differ between trials",
                "correct it, or take it out",
            )
        values = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension
        if len({label(value) for value in values}) < len(values):
            raise CatalogError(f"search.space.{key} has a value twice", label(list(values)), "take one out")
        for value in values:
            applied(config, {key: value})
    return config.search


def refuse_devices(config: TrainConfig) -> None:
    """CatalogError for a recipe of several devices: their processes would each do all of the trainings."""
    if config.devices > 1:
        raise CatalogError("many trainings in a row run on one device", f"devices {config.devices}", "set it to 1")


def applied(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The recipe with `values` at their keys and without its `search`; CatalogError names a value that does not fit."""
    told = ", ".join(f"{key} = {label(value)}" for key, value in values.items())
    return parse_config(document(config, values), f"the recipe with {told}")


def document(config: TrainConfig, values: Mapping[str, Any], *, short: bool = False) -> dict[str, Any]:
    """The same as plain values; `short` leaves out what the recipe does not say."""
    found: dict[str, Any] = config.model_dump(mode="json", exclude={"search"}, exclude_unset=short)
    for key, value in values.items():
        *parents, last = key.split(".")
        place = found
        for parent in parents:
            inner = place.get(parent)
            if not isinstance(inner, dict):
                raise CatalogError(
                    f"search.space.{key} has no place in the recipe",
                    f"no `{parent}` with keys of its own",
                    "add it to the recipe, or correct the key",
                )
            place = inner
        place[last] = {value: 1.0} if key == "losses" and isinstance(value, str) else value
    return found


def label(value: Any) -> str:
    """A value as tables and the study name it."""
    return value if isinstance(value, str) else json.dumps(value)


def generators(config: TrainConfig, search: Search) -> list[Generator]:
    """Every architecture of the space, without memory for its weights.

    CatalogError when one cannot be built, or when not all have the same axes, scale and bands.
    """
    found = [_generator(applied(config, values).architecture) for values in _architectures(search)]
    kinds = {(one.scales, one.bands) for one in found}
    if len(kinds) > 1:
        raise CatalogError("search.space mixes scales or bands", str(sorted(kinds)), "search each for itself")
    return found


def _architectures(search: Search) -> Iterator[dict[str, Any]]:
    listed = {key: _listed(dimension) for key, dimension in search.space.items() if key.startswith("architecture")}
    count = 1
    for key, values in listed.items():
        count *= len(values)
        if count > MOST_ARCHITECTURES:
            raise CatalogError(
                "search.space has too many architectures",
                f"more than {MOST_ARCHITECTURES} with {key}",
                "list fewer values, or give a step",
            )
    for chosen in product(*listed.values()):
        yield dict(zip(listed, chosen, strict=True))


def _listed(dimension: Range | tuple[Any, ...]) -> list[Any]:
    if not isinstance(dimension, Range):
        return list(dimension)
    if not dimension.whole:
        return [dimension.low, dimension.high]
    return list(range(int(dimension.low), int(dimension.high) + 1, int(dimension.step or 1)))


def _generator(architecture: Architecture) -> Generator:
    try:
        with torch.device("meta"):
            return build(Spec(name="search.space", architecture=architecture, scale=(1, 1), halo=(0, 0)))
    except CheckpointError as error:
        raise CatalogError(error.what, error.found, error.do) from error
    except (ValueError, RuntimeError, TypeError) as error:
        raise CatalogError(
            f"search.space makes no {architecture.name}", f"{dict(architecture.params)}: {error}", "correct the values"
        ) from error
