"""What training patches are cut from: images and volumes read whole, their clear windows, their normalisation."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import numpy.ma as ma
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.radiometry import percentile_normalisation
from srcore.storage.whole_images import Image, Masked, is_image, read_image
from srcore.training.config import Source
from srcore.training.data.batches import Geometry, Plane
from srcore.training.data.guided import with_guides
from srcore.treatment import Treatment


def images_of(source: Source, folder: Path) -> list[Path]:
    """The source's files below `folder`, sorted; SourceError when there is none."""
    paths = sorted(path for path in folder.glob(source.files) if is_image(path))
    if not paths:
        raise SourceError(f"no image matches {source.files}", str(folder), "correct `files` in the recipe")
    return paths


def load_planes(
    folder: Path,
    sources: Sequence[Source],
    geometry: Geometry,
    bands: int = 1,
    least: int = 1,
    leave_out: Container[Path] = (),
) -> list[Plane]:
    """All planes of the sources' files, with their chances (of sum 1); `bands` are what a generator sees together.

    Files in `leave_out` are not read; a source that has no others leaves its share to the rest.

    SourceError when a source names no image or all together fewer than `least`, when an image is smaller than a
    patch or clear nowhere, or when an LR does not belong to its HR.
    """
    planes: list[Plane] = []
    images = 0
    chosen = [(source, [path for path in images_of(source, folder) if path not in leave_out]) for source in sources]
    total = sum(source.share for source, paths in chosen if paths)
    for source, paths in chosen:
        images += len(paths)
        for path in paths:  # each with the same chance: a giant scene is one scene
            parts = _planes_of(path, folder, source, geometry, bands)
            chance = source.share / total / len(paths) / sum(part.values.size for part in parts)
            planes += [replace(part, chance=chance * part.values.size) for part in parts]
    if images < least:
        raise SourceError(
            "too few images to train on",
            f"{images}, the recipe asks for {least}",
            "add some, or lower least_images",
            code="TOO_FEW_PAIRS",
        )
    return planes


def _planes_of(path: Path, folder: Path, source: Source, geometry: Geometry, bands: int) -> list[Plane]:
    hr, window = _named(read_image(path, [folder]), source.bands, path), geometry.window_hr
    if len(window) > hr.ndim - 1:
        raise SourceError(f"{path.name} is no volume", f"shape {hr.shape}", "leave it out of the sources")
    if any(size < side for size, side in zip(hr.shape[-len(window) :], window, strict=True)):
        raise SourceError(
            f"{path.name} is too small for a training patch",
            f"{_by(hr.shape[-len(window) :])} pixels, patches of {_by(window)}",
            "leave it out of the sources, or lower core_px",
        )
    if geometry.zoom > 1:
        return [_guided_plane(path, folder, source, geometry, hr)]
    return _plain_planes(path, folder, source, geometry, hr, bands)


def _plain_planes(path: Path, folder: Path, source: Source, geometry: Geometry, hr: Masked, bands: int) -> list[Plane]:
    """A plane for all that a generator sees at once, of a file's bands and slices."""
    window = geometry.window_hr
    lr = None if source.lr is None else _measured(path, folder, source, hr, geometry.scales)
    planes = []
    for own_hr, own_lr, offset, scale in _split(hr, lr, len(window), bands, path):
        masked = np.asarray(ma.getmaskarray(own_hr).any(axis=0)) if ma.is_masked(own_hr) else None
        if own_lr is not None and ma.is_masked(own_lr):
            lr_mask = _enlarged(np.asarray(ma.getmaskarray(own_lr).any(axis=0)), geometry.scales)
            masked = lr_mask if masked is None else masked | lr_mask
        if geometry.slab and masked is not None:
            raise SourceError(f"{path.name} has nodata", "slabs are drawn without", "leave it out of the sources")
        starts = None if masked is None else _clear_starts(masked, window)
        if own_lr is not None and not geometry.slab:
            starts = _on_lr_grid(starts, own_hr.shape[1:], window, geometry.scales)
        if starts is None or starts.size:
            measured = None if own_lr is None else ma.getdata(own_lr)
            planes.append(Plane(ma.getdata(own_hr), starts, offset, scale, 0.0, measured, source.degradation))
    if not planes:
        raise SourceError(f"{path.name} has no clear training patch", "nodata in every window", "leave it out")
    return planes


def _guided_plane(path: Path, folder: Path, source: Source, geometry: Geometry, hr: Masked) -> Plane:
    """All bands of a file, and behind them those that guide; SourceError where no window is clear."""
    guides = 0
    if source.guides is not None:
        fine = read_image(path.with_name(path.name.replace(*source.guides)), [folder]).masked
        hr, guides = with_guides(hr, fine, geometry.zoom, path.name), len(fine)
    if len(hr) < 2:
        raise SourceError(f"{path.name} has no guide", "one band", "name its `guides`, or leave it out of the sources")
    masked = np.asarray(ma.getmaskarray(hr).any(axis=0)) if ma.is_masked(hr) else None
    starts = None if masked is None else _clear_starts(masked, geometry.window_hr)
    if starts is not None and not starts.size:
        raise SourceError(f"{path.name} has no clear training patch", "nodata in every window", "leave it out")
    own = percentile_normalisation([band.compressed() for band in hr])
    return Plane(ma.getdata(hr), starts, own.offset, own.scale, 0.0, None, source.degradation, guides)


def _split(
    hr: Masked, lr: Masked | None, axes: int, bands: int, path: Path
) -> Iterator[tuple[Masked, Masked | None, tuple[float, ...], tuple[float, ...]]]:
    """(B, own axes) of HR and LR with offset and scale, for all that a generator sees at once."""
    if len(hr) % bands or (bands > 1 and len(hr) != bands):
        raise SourceError(
            f"{path.name} does not have the generator's bands",
            f"{len(hr)} bands, the recipe has {bands}",
            "leave it out of the sources",
        )
    # In production the LR is all that there is to take the percentiles from.
    normalisation = percentile_normalisation([band.compressed() for band in (hr if lr is None else lr)])
    for first in range(0, len(hr), bands):
        own = slice(first, first + bands)
        offset, scale = normalisation.offset[own], normalisation.scale[own]
        if hr.ndim - 1 == axes:
            yield hr[own], None if lr is None else lr[own], offset, scale
        else:  # a 2-D generator goes slice by slice through a volume
            for z in range(hr.shape[1]):
                yield hr[own, z], None if lr is None else lr[own, z], offset, scale


def _named(image: Image, names: Sequence[str] | None, path: Path) -> Masked:
    """The bands of these names, in their order; None: all."""
    if names is None:
        return image.masked
    if absent := [name for name in names if name not in image.names]:
        found = ", ".join(image.names)
        raise SourceError(f"{path.name} has no band {absent[0]}", found, "correct the bands in the recipe")
    return image.masked[[image.names.index(name) for name in names]]


def _measured(path: Path, folder: Path, source: Source, hr: Masked, own: Sequence[int]) -> Masked:
    """The measured LR of an HR, in the HR's numbers where the recipe asks for that."""
    name = path.name if source.lr_names is None else path.name.replace(*source.lr_names)
    lr = _named(_twin(path, folder / str(source.lr), name), source.lr_bands, path)
    _refuse_unlike(path, lr.shape, hr.shape, own)
    return ma.stack([_fitted(*pair, own) for pair in zip(lr, hr, strict=True)]) if source.fit else lr


def _fitted(lr: Masked, hr: Masked, own: Sequence[int]) -> Masked:
    """gain x LR + offset, nearest to the means of the HR where both are valid."""
    means = hr.astype(np.float64).reshape([n for pair in zip(lr.shape[-len(own) :], own, strict=True) for n in pair])
    means = means.mean(axis=tuple(range(1, 2 * len(own), 2)))
    both = ~(ma.getmaskarray(lr) | ma.getmaskarray(means))
    measured = ma.getdata(lr)[both].astype(np.float64)
    if measured.size == 0 or np.ptp(measured) == 0:
        return lr
    gain, offset = np.polyfit(measured, ma.getdata(means)[both], 1)
    fitted = (ma.getdata(lr) * gain + offset).astype(np.float32)
    return ma.masked_array(fitted, ma.getmaskarray(lr))


def measured_lr(
    path: Path, folder: Path, hr: Sequence[int], own: Sequence[int], treatment: Treatment | None = None
) -> Image:
    """The LR of the same name in `folder`; SourceError unless it is `own` times smaller than the HR of `path`, whose
    shape is `hr`."""
    lr = _twin(path, folder, path.name, treatment)
    _refuse_unlike(path, lr.values.shape, hr, own)
    return lr


def _twin(path: Path, folder: Path, name: str, treatment: Treatment | None = None) -> Image:
    """The LR `name` in `folder` of the HR `path`."""
    if not (folder / name).is_file():
        told = "the same name" if name == path.name else f"the name {name}"
        raise SourceError(f"{path.name} has no LR of {told}", str(folder), "add it, or leave the HR out")
    return read_image(folder / name, [folder], treatment)


def _refuse_unlike(path: Path, lr: Sequence[int], hr: Sequence[int], own: Sequence[int]) -> None:
    """SourceError unless an LR of this shape lies under an HR of that one."""
    scales = (1,) * (len(hr) - 1 - len(own)) + tuple(own)
    if tuple(hr) != (lr[0], *(n * s for n, s in zip(lr[1:], scales, strict=True))):
        raise SourceError(
            f"LR and HR of {path.name} do not belong together",
            f"LR {_by(lr)}, HR {_by(hr)}",
            f"HR must have the LR's bands and {_by(scales)} times its pixels",
        )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _enlarged(mask: NDArray[np.bool_], scales: Sequence[int]) -> NDArray[np.bool_]:
    for axis, scale in enumerate(scales):
        mask = mask.repeat(scale, axis)
    return mask


def _clear_starts(mask: NDArray[np.bool_], window: Sequence[int]) -> NDArray[np.int64]:
    """Flat indices into `mask` at which a window without a masked pixel starts."""
    sums = mask.astype(np.int64)
    for axis, side in enumerate(window):
        before = [(int(a == axis), 0) for a in range(mask.ndim)]
        running = np.pad(sums.cumsum(axis), before)
        count = running.shape[axis] - side
        sums = running.take(range(side, side + count), axis) - running.take(range(count), axis)
    return np.ravel_multi_index(np.nonzero(sums == 0), mask.shape).astype(np.int64)


def _on_lr_grid(
    starts: NDArray[np.int64] | None, shape: Sequence[int], window: Sequence[int], scales: Sequence[int]
) -> NDArray[np.int64]:
    """Those of `starts` (None: all windows inside `shape`) at which an LR pixel starts as well."""
    if starts is None:
        sides = [np.arange(0, n - side + 1, s) for n, side, s in zip(shape, window, scales, strict=True)]
        return np.ravel_multi_index(np.meshgrid(*sides, indexing="ij"), shape).reshape(-1)
    if not starts.size or prod(scales) == 1:
        return starts
    places = np.unravel_index(starts, shape)
    return starts[np.all([p % s == 0 for p, s in zip(places, scales, strict=True)], axis=0)]
