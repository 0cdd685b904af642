"""srcore: super-resolution of large rasters and volumes, from an archive to published products.

    import srcore
    product = srcore.upscale("scene.tif", "scene-sr.tif")      # a file: published and checked, as the command line does
    finer = srcore.upscale(data_array)                         # xarray: a DataArray, no files; a Dataset likewise
    finer = srcore.super_resolve(array)                        # NumPy, torch or Dask
    report = srcore.validate("scene-sr.tif", "scene.tif")
    engine = srcore.open_engine("srcore-x2")

The names are found when they are asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srcore.run.face import open_engine, super_resolve, upscale, validate
    from srcore.version import __version__

__all__ = ["__version__", "open_engine", "super_resolve", "upscale", "validate"]

_HOMES = {"__version__": "srcore.version"}


def __getattr__(name: str) -> Any:
    # By importlib: to the import contracts nothing below knows what stands above it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES.get(name, "srcore.run.face")), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
