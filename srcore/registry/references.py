"""What a reference to a model means, and the verified copy of it that lies here.

    srcore-x2                built-in, or a checkpoint folder: no registry is asked
    srcore-x2@champion       what the registry calls champion at this moment; also @challenger, and @3 for a version

A version is resolved to a folder named by its digest in the cache, checked at every resolution; what a reference meant
last in this registry is remembered there, so that a night goes on when the registry is away. Another registry, at
another address or in the same place, is asked for nothing that is remembered of this one (`registry.identity`).
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from srcore.checkpoints import CHAMPION, REFERENCE, SPEC, builtin_names, locate, read_spec
from srcore.choices import SliceProfile
from srcore.errors import CheckpointError, StoreError
from srcore.registry.identity import is_gone, memory_of
from srcore.registry.mlflow_store import Registry, Version, check_folder, open_registry
from srcore.settings import load_settings
from srcore.storage.disk.files import hidden_folder
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.trust import Trust

log = logging.getLogger(__name__)

OUTAGES = ("REGISTRY_AWAY", "REGISTRY_DAMAGED", "NO_REGISTRY")
"""Codes of a registry that cannot be asked: what it said last holds."""


@dataclass(frozen=True)
class Model:
    """What a reference means now."""

    reference: str
    folder: Path
    digest: str
    version: str = ""
    """In the registry; '' for a built-in or a folder."""
    trust: Trust | None = None
    """The calibration of its trust map, where it has one."""
    slice_profile: SliceProfile = "box"
    """What it takes a slice of the LR for, where the catalog does not say."""
    usual_steps: int | None = None
    """Of back-projection, where the catalog does not say; None: those of its kind."""
    zoom: int = 1
    """Above 1: how many times coarser the bands are that it brings to the grid of finer ones."""

    @property
    def registered(self) -> str:
        """The reference where a registry was asked; '' for what stands for itself."""
        return self.reference if REFERENCE.fullmatch(self.reference) else ""


def resolve(reference: str) -> Model:
    """The folder, version and digest behind a reference; a built-in name and a folder stand for themselves.

    CheckpointError UNKNOWN_MODEL when there is none, CHECKPOINT_DIGEST when what is kept here is damaged and cannot be
    fetched again. StoreError REGISTRY_AWAY when the registry is away and the reference was never resolved here.
    """
    model = _resolve(reference)
    spec = read_spec(model.folder)
    model = replace(model, trust=spec.trust, zoom=spec.zoom)
    return replace(model, slice_profile=spec.slice_profile, usual_steps=spec.usual_steps)


def _resolve(reference: str) -> Model:
    match = REFERENCE.fullmatch(reference)
    if match is None:
        folder = locate(reference)
        return Model(reference, folder, read_spec(folder).digest)
    name, alias = match.groups()
    try:
        registry = open_registry()
        version = registry.find(name, alias)
        if version is not None:
            return _remembered(Model(reference, _copy(registry, version), version.digest, version.version))
    except StoreError as away:
        if away.code not in OUTAGES and not is_gone(load_settings().registry_uri):
            raise  # a full disk is no outage of the registry, and another registry is another's
        return _from_memory(reference, name, alias, away)
    if alias == CHAMPION and name in builtin_names():
        return _builtin(reference, name)
    raise CheckpointError(f"the registry has no {reference}", "", "see `srcore models list`", code="UNKNOWN_MODEL")


def _remembered(model: Model) -> Model:
    """The model, once what its reference means is written down; a cache that cannot be written costs a warning."""
    path, meaning = _memory(model.reference), {"digest": model.digest, "version": model.version}
    with suppress(StoreError):
        if path.exists() and read_sealed(path) == meaning:
            return model
    try:
        write_sealed(path, meaning)
    except (StoreError, OSError) as error:
        log.warning("what %s means is not remembered: %s", model.reference, error)
    return model


def _builtin(reference: str, name: str) -> Model:
    """The champion of a name that nobody has registered: the model that ships."""
    return Model(reference, locate(name), read_spec(locate(name)).digest)


def _from_memory(reference: str, name: str, alias: str, away: StoreError) -> Model:
    """What the reference meant when the registry was last there."""
    path = _memory(reference)
    if not path.exists():
        if away.code == "NO_REGISTRY" and alias == CHAMPION and name in builtin_names():
            return _builtin(reference, name)
        raise away
    kept = read_sealed(path)
    folder = _copies() / kept["digest"]
    check_folder(folder, kept["digest"])
    log.warning(
        "%s; %s stays version %s, %s, from the verified copy in %s",
        away,
        reference,
        kept["version"],
        kept["digest"][:12],
        folder,
    )
    return Model(reference, folder, kept["digest"], kept["version"])


def _copies() -> Path:
    return load_settings().cache_folder / "models"


def _memory(reference: str) -> Path:
    return memory_of(load_settings().registry_uri) / f"{reference}.json"


def _copy(registry: Registry, version: Version) -> Path:
    """The version's folder in the cache, fetched where it is missing or damaged."""
    folder = _copies() / version.digest
    with suppress(CheckpointError):
        check_folder(folder, version.digest)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(folder) as hidden:
        registry.fetch(version, hidden)
        [spec] = list(hidden.rglob(SPEC))[:1] or [hidden / SPEC]
        check_folder(spec.parent, version.digest)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)  # damaged
        with suppress(FileExistsError, NotADirectoryError):
            try:
                os.rename(spec.parent, folder)
            except OSError:
                check_folder(folder, version.digest)  # another process was first
    return folder
