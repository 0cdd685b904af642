"""The registry: versions of models under a name, and which of them is the champion. The only code that knows MLflow.

MLflow runs without telemetry. What a reference means, and where its copy lies here, is `registry.references`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srcore.checkpoints import (
    CHALLENGER,
    CHAMPION,
    NAME,
    SPEC,
    Spec,
    read_spec,
)
from srcore.errors import CheckpointError, StoreError
from srcore.registry.changes import Change, told_changes
from srcore.registry.client import mlflow, shown, translated, whole
from srcore.registry.identity import (
    PATIENCE_S,
    check_database,
    check_identity,
    check_writable,
    database_of,
    refuse_fresh,
    refuse_silent,
    within,
)
from srcore.registry.switch import REPLACED, meant, settle, switch
from srcore.registry.told import Told, log_run
from srcore.settings import load_settings
from srcore.storage.disk.files import sha256_file

log = logging.getLogger(__name__)

EXPERIMENT = "srcore"
FOLDER = "checkpoint"
DIGEST, CONTRACT, LICENCE = "srcore.digest", "srcore.contract", "srcore.licence"
"""Tags of a version: its digest, and what it takes and gives."""


@dataclass(frozen=True)
class Version:
    """A registered checkpoint."""

    name: str
    version: str
    digest: str
    source: str
    """Where the registry keeps its folder."""
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    replaced: str = ""
    """The champion before it; '' where it was the first, or never champion."""
    contract: str = ""
    """Kind, scale and bands: the same for all versions of a name, or a promotion would change what products are."""
    licence: str = ""
    """Of the weights; '' of a version that was registered before it was kept."""


def check_folder(folder: Path, digest: str | None = None) -> Spec:
    """The spec of a checkpoint folder whose weights are those that it names; CheckpointError CHECKPOINT_DIGEST.

    With `digest` the spec must have it.
    """
    spec = read_spec(folder)
    try:
        weights = None if spec.weights_sha256 is None else sha256_file(folder / spec.weights_file)
    except OSError as error:
        weights = error.strerror
    if weights != spec.weights_sha256 or digest not in (None, spec.digest):
        raise CheckpointError(
            f"{folder} is not the model that was registered",
            "another digest",
            "remove the folder; it is fetched again from the registry",
            code="CHECKPOINT_DIGEST",
        )
    return spec


def open_registry(*, create: bool = False) -> Registry:
    """The registry of the settings. StoreError NO_REGISTRY where its database is not there and is not to be made,
    REGISTRY_CHANGED where another one stood there."""
    uri = load_settings().registry_uri
    database = database_of(uri)
    if database is not None and not database.exists():
        refuse_fresh(uri)
        if not create:
            raise StoreError(
                "there is no registry of models yet",
                str(database),
                "srcore models import FOLDER makes one",
                code="NO_REGISTRY",
            )
        database.parent.mkdir(parents=True, exist_ok=True)
    registry = Registry(uri)
    check_identity(uri, registry.identity(), shown(uri))
    return registry


def refuse_unready() -> None:
    """Say before a training, or a change of the champion, what would end it: a registry that is gone, damaged, another
    one, locked, not to be written, or too slow.

    StoreError REGISTRY_CHANGED, REGISTRY_DAMAGED, NOT_WRITABLE or REGISTRY_AWAY, each in seconds. A registry that never
    was is made when it is needed.
    """
    uri = load_settings().registry_uri
    database = database_of(uri)
    if database is not None and not database.exists():
        refuse_fresh(uri)
        return
    slow = f"the registry {shown(uri)} does not answer"
    if database is not None:
        within(PATIENCE_S, slow, lambda: check_database(uri))
        check_writable(uri)
        open_registry()  # MLflow looks at all tables of a file, which a busy machine may take seconds for
        return
    refuse_silent(uri, slow)
    mlflow()
    within(PATIENCE_S, slow, open_registry)


def ready_registry() -> Registry:
    """The registry, for a change of a champion: what would end it half way is said first. The errors of both."""
    refuse_unready()
    return open_registry()


class Registry:
    """Names, versions and aliases in MLflow; every failure of it is a StoreError of one line."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with translated(f"the registry {shown(uri)} does not answer"):
            self.client = mlflow().MlflowClient(uri, uri)

    def identity(self) -> str:
        """What tells this registry from all others: when its first model came; '' before."""
        with translated(f"the registry {shown(self.uri)} does not answer"):
            found = self.client.get_experiment_by_name(EXPERIMENT)
        return "" if found is None else f"{found.experiment_id}-{found.creation_time}"

    def find(self, name: str, alias: str) -> Version | None:
        """The version of that alias or number; None when the registry has none."""
        return next((one for one in self.versions(name) if alias in (*one.aliases, one.version)), None)

    def versions(self, name: str | None = None) -> list[Version]:
        """All versions of a name, or of all names, the newest first."""
        found: list[Version] = []
        for model in self._models(name):
            with translated(f"the registry {shown(self.uri)} does not answer"):
                aliases = meant(model)
                versions = whole(self.client.search_model_versions, f"name = '{model.name}'")
                found += [self._version(one, aliases) for one in sorted(versions, key=lambda v: -int(v.version))]
        return found

    def _models(self, name: str | None = None) -> list[Any]:
        """What the registry has of a name, or of all that can be ours: others may keep models there, too."""
        if name is not None and NAME.fullmatch(name) is None:  # a quote in it would be part of the question
            return []
        with translated(f"the registry {shown(self.uri)} does not answer"):
            found = whole(self.client.search_registered_models, f"name = '{name}'" if name else None)
        return [model for model in found if NAME.fullmatch(model.name)]

    def fetch(self, version: Version, folder: Path) -> None:
        """Put the version's files below `folder`."""
        with translated("a model cannot be fetched from the registry"):
            mlflow().artifacts.download_artifacts(artifact_uri=version.source, dst_path=str(folder))

    def _version(self, found: Any, aliases: Mapping[str, str]) -> Version:
        number = str(found.version)
        metrics = dict(self.client.get_run(found.run_id).data.metrics) if found.run_id else {}
        own = tuple(sorted(alias for alias, version in aliases.items() if version == number))
        return Version(
            found.name,
            number,
            found.tags.get(DIGEST, ""),
            found.source,
            own,
            metrics,
            found.tags.get(REPLACED, ""),
            found.tags.get(CONTRACT, ""),
            found.tags.get(LICENCE, ""),
        )

    def register(
        self,
        folder: Path,
        name: str | None = None,
        told: Told | None = None,
    ) -> Version:
        """The checkpoint folder as a new version of `name` (default: its own); as the one it is where it is known.

        The first version of a name becomes its champion. What is `told` goes to the version's run.
        CheckpointError when the folder is damaged or the name is no name.
        """
        spec = check_folder(folder)
        name = name or spec.name
        if NAME.fullmatch(name) is None:
            raise CheckpointError(f"{name!r} cannot be the name of a model", "", "use a-z, 0-9, '.', '_' and '-'")
        known = self.versions(name)
        other = next((one.contract for one in known if one.contract != _contract(spec)), None)
        if other is not None:
            raise CheckpointError(
                f"{folder} cannot be a version of {name}",
                f"{_contract(spec)}, {name} is {other}",
                "register it under another name",
            )
        same = next((one for one in known if one.digest == spec.digest), None)
        if same is None:
            with translated(f"the registry {shown(self.uri)} does not take a model"):
                number = self._create(folder, name, spec, told or Told())
            same = self.find(name, number)
        assert same is not None
        if not same.aliases and len(known) <= 1 and {one.version for one in known} <= {same.version}:
            with translated(f"the registry {shown(self.uri)} does not take an alias"):
                self.client.set_registered_model_alias(name, CHAMPION, same.version)
            same = self.find(name, same.version) or same
        return same

    def _create(self, folder: Path, name: str, spec: Spec, told: Told) -> str:
        """A run with the checkpoint as its artifact, and the version that points at it; gives its number."""
        client = self.client
        run = client.create_run(self._experiment(), run_name=name)
        facts = {"architecture": spec.architecture.name, "scale": "x".join(map(str, spec.scale)), **told.facts}
        log_run(client, run.info.run_id, replace(told, facts=facts))
        for path in (folder / SPEC, folder / spec.weights_file, folder / "README.md"):
            if path.exists():
                client.log_artifact(run.info.run_id, str(path), FOLDER)
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        made = client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{FOLDER}",
            run.info.run_id,
            tags={DIGEST: spec.digest, CONTRACT: _contract(spec), LICENCE: spec.licence},
            description=told.description or None,
        )
        return str(made.version)

    def _experiment(self) -> str:
        """Of all models; a sqlite registry keeps their files in a folder beside its database."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        database = database_of(self.uri)
        files = None if database is None else database.absolute().with_suffix(".files").as_uri()
        made = str(self.client.create_experiment(EXPERIMENT, artifact_location=files))
        check_identity(self.uri, self.identity(), shown(self.uri))
        return made

    def name_challenger(self, version: Version) -> None:
        """Let @challenger mean this version."""
        with translated(f"the registry {shown(self.uri)} does not take an alias"):
            self.client.set_registered_model_alias(version.name, CHALLENGER, version.version)

    def promote(self, name: str, alias: str = CHALLENGER, *, who: str = "", why: str = "") -> Version:
        """Let @champion mean the challenger, or the version of that number; gives it. `who` and `why` are recorded.

        CheckpointError UNKNOWN_MODEL when there is none.
        """
        finished = self._settled(name)
        version, before = self.find(name, alias), self.find(name, CHAMPION)
        if version is None and alias == CHALLENGER and finished is not None and finished.what == "promote":
            version = before
        if version is None:
            raise CheckpointError(
                f"{name} has no {alias} to promote", "", "see `srcore models list`", code="UNKNOWN_MODEL"
            )
        if before is not None and before.version == version.version:
            return before  # nothing changes, and no change is recorded
        was = before.version if before else ""
        self._switch(name, Change("promote", was, version.version, who, why), challenger=CHALLENGER in version.aliases)
        return self.find(name, CHAMPION) or version

    def rollback(self, name: str, *, who: str = "", why: str = "") -> Version:
        """Let @champion mean what it meant before the last promotion; gives it. `who` and `why` are recorded.

        CheckpointError UNKNOWN_MODEL when there was none.
        """
        finished, champion = self._settled(name), self.find(name, CHAMPION)
        if champion is not None and finished is not None and finished.what == "rollback":
            return champion
        before = self.find(name, champion.replaced) if champion and champion.replaced else None
        if champion is None or before is None:
            raise CheckpointError(
                f"{name} has no champion before this one", "", "see `srcore models list`", code="UNKNOWN_MODEL"
            )
        self._switch(name, Change("rollback", champion.version, before.version, who, why), challenger=False)
        return self.find(name, CHAMPION) or before

    def _settled(self, name: str) -> Change | None:
        """The change of the champion that was killed before, and is finished now."""
        with translated(f"the registry {shown(self.uri)} does not take a change"):
            return next((settle(self.client, model) for model in self._models(name)), None)

    def _switch(self, name: str, change: Change, *, challenger: bool) -> None:
        with translated(f"the registry {shown(self.uri)} does not take a change"):
            switch(self.client, name, change, challenger=challenger)

    def history(self, name: str) -> list[Change]:
        """Every change of the champion by a promotion or a rollback, the oldest first.

        The last one may have no record, where another program made it: that is said in its `why`. CheckpointError
        UNKNOWN_MODEL for a name that the registry does not have.
        """
        found = self._models(name)
        if not found:
            raise CheckpointError(f"the registry has no {name}", "", "see `srcore models list`", code="UNKNOWN_MODEL")
        champion = self.find(name, CHAMPION)
        return told_changes(found[0].tags, *((champion.version, champion.replaced) if champion else ("", "")))


def _contract(spec: Spec) -> str:
    return f"{spec.kind}, scale {' x '.join(map(str, spec.scale))}, bands {spec.bands}"
