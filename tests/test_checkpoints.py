"""The spec of a checkpoint: what it refuses, and the digests that receipts and registries know models by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srcore.checkpoints import BUILTIN, FORMER, builtin_names, read_spec
from srcore.errors import CheckpointError

DIGESTS = {
    "bicubic-x2": "d2255cd8ccc7",
    "cubic-z5": "68ac2a662557",
    "nearest-x2": "303c861fa5c1",
    "srcore-guided-x2": "544afc31c4be",
    "srcore-volume-x2": "0a5b35bc29b2",
    "srcore-volume-z5": "5e0b060f5edc",
    "srcore-x2": "ba2ab0fb005d",
    "srcore-x2-fast": "6ff6c326e469",
    "srcore-x2-sensor": "e01e8751b263",
    "srcore-x2-sensor-fast": "07f2d04a6469",
    "srcore-x4": "eb1185f44d3e",
    "srcore-x4-sensor": "25c39034c72a",
}
"""Of the versions in which they came. Another digest makes every scene of every archive due again."""


def written(folder: Path, **keys: object) -> Path:
    """A copy of a shipped spec with `keys` added."""
    document = json.loads((BUILTIN / "srcore-x2" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | keys))
    return folder


def test_the_models_that_ship_keep_their_digests() -> None:
    assert {name: read_spec(BUILTIN / name).digest[:12] for name in builtin_names()} == DIGESTS


def test_a_spec_of_an_older_version_is_the_same_model(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, **FORMER))
    assert spec == read_spec(BUILTIN / "srcore-x2")
    assert spec.digest[:12] == DIGESTS["srcore-x2"]
    assert not FORMER.keys() & spec.model_dump().keys()


@pytest.mark.parametrize("keys", [{"tiling": "blended"}, {"alignment": "pixel-centre"}, {"halos": 3}])
def test_a_key_that_would_mean_something_is_refused(tmp_path: Path, keys: dict[str, object]) -> None:
    [name] = keys
    with pytest.raises(CheckpointError, match=f"not a valid spec; found {name}: "):
        read_spec(written(tmp_path, **keys))
