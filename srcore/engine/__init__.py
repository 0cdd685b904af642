"""The engine: LR blocks in, SR blocks out, on the device, in the precision and by the backend that are there.

`stream` and `cuda` need torch and numpy only and run on a bare GPU machine; so this module imports `core` and
`opening`, which need more, when one of their names is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srcore.engine.core import (
        BlockFacts,
        Engine,
        numbers_of,
        plain_sr,
        self_ensemble_spread,
        super_resolve,
        super_resolve_stream,
        super_resolve_with_trust,
    )
    from srcore.engine.opening import choose_device, choose_precision, open_engine, prove

__all__ = [
    "BlockFacts",
    "Engine",
    "choose_device",
    "choose_precision",
    "numbers_of",
    "open_engine",
    "plain_sr",
    "prove",
    "self_ensemble_spread",
    "super_resolve",
    "super_resolve_stream",
    "super_resolve_with_trust",
]


OPENING = ("choose_device", "choose_precision", "open_engine", "prove")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"srcore.engine.{'opening' if name in OPENING else 'core'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
