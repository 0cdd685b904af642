"""Settings of this machine: environment variables SRCORE_*. What differs between machines, never between datasets."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from srcore.choices import BACKENDS
from srcore.errors import CatalogError

PREFIX = "SRCORE_"


class Settings(BaseModel):
    """What the environment says; the command line's options go before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalog: Path = Path("data_catalog.yaml")
    """The catalog that is used when none is named."""
    workers: int | None = Field(default=None, ge=0, le=4096)
    """Processes of the local Dask cluster; 0: none, in this process; None: one a core."""
    scheduler: str | None = Field(default=None, pattern=r"^(tcp|tls|ucx|inproc)://\S+$")
    """Address of an existing Dask scheduler, used instead of local workers."""
    backend: str = Field(default="auto", pattern=f"^({'|'.join(BACKENDS)})$")
    """What computes the generator; auto: the fastest that is installed and exact enough."""
    cache: Path | None = None
    """Where measured backends and copies of registered models are kept; None: srcore's folder in the user's cache."""
    remote_cache_gb: float = Field(default=64.0, gt=0, le=1e6)
    """Space below `cache` that fetched sources may take, in GB; what was not used for longest goes first."""
    remote_timeout_s: float = Field(default=60.0, ge=0.1, le=3600)
    """Seconds without a byte from a server after which a request counts as cut."""
    remote_tries: int = Field(default=5, ge=1, le=100)
    """How often a file elsewhere is asked for, with longer and longer pauses, before its scene fails."""
    remote_tokens: SecretStr = SecretStr("")
    """HOST=TOKEN, for each host that wants a bearer token; sent to that host and those below it alone."""
    remote_sign: str = ""
    """HOST=ADDRESS: links to that host are signed first, by ADDRESS?href=LINK, which answers {"href": ...}."""
    scratch: Path | None = None
    """Where the work on scenes lies whose store is an object store; with workers on other machines a folder that all of
    them share. None: `stores` in srcore's cache."""
    private_key: Path | None = None
    """File with the key of private ids, made where it is not there; None: in srcore's folder of the user's data. It
    must lie outside every store."""
    registry: str | None = Field(default=None, pattern=r"^(sqlite:///[^\s?][^?]*|https?://\S+)$")
    """Address of the MLflow registry of models; None: a sqlite file in srcore's folder of the user's data."""
    notify: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address of a webhook that `srcore serve` tells of failed, crashed and late runs and of a missing worker."""
    notify_block: str | None = Field(default=None, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")
    """A notification block of the Prefect server (mail, chat), TYPE/NAME, that is told of the same."""
    history_days: int = Field(default=90, ge=1, le=36500)
    """Days that the Prefect server of `srcore serve` keeps runs, their logs and artifacts, and events."""

    night_hours: float | None = Field(default=None, ge=0.1, le=1000)
    """Hours after which `srcore serve` has a night cancelled; None: never."""
    night_again: int = Field(default=2, ge=0, le=10)
    """How often `srcore serve` begins a night again whose process or machine went away."""

    scenes: int | None = Field(default=None, ge=1, le=1024)
    """Scenes of catalogs that this machine does at once, whoever began them; None: no limit."""
    gpu: int = Field(default=1, ge=1, le=64)
    """Scenes that compute on this machine's GPU at once."""

    @property
    def cache_folder(self) -> Path:
        """The folder that `cache` says or stands for."""
        return self.cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srcore"

    @property
    def scratch_folder(self) -> Path:
        """The folder that `scratch` says or stands for."""
        return self.scratch or self.cache_folder / "stores"

    @property
    def registry_uri(self) -> str:
        """The address that `registry` says or stands for."""
        return self.registry or f"sqlite:///{_data_folder() / 'registry.db'}"

    @property
    def key_file(self) -> Path:
        """The file that `private_key` says or stands for."""
        return self.private_key or _data_folder() / "private.key"


def _data_folder() -> Path:
    """srcore's folder in the user's data."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "srcore"


def load_settings() -> Settings:
    """The settings of the environment; CatalogError that names the variable when one cannot be used.

    An empty variable is as good as none.
    """
    found = {name: os.environ.get(PREFIX + name.upper()) for name in Settings.model_fields}
    try:
        return Settings.model_validate({name: value for name, value in found.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise CatalogError(
            f"{name}: {first['msg']}", repr(first["input"])[:80], "change or unset it", code="BAD_SETTING"
        ) from error
