"""Publishing: what stands under a published name is complete, verified, and matches its receipt.

    staged/ (hidden) --verified--> fsync --> receipt away --> rename each file --> fsync folder --> receipt

Without a receipt nothing is published. While a product is replaced it has no receipt, so a reader who asks
for the receipt never sees files of two runs as one product.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from srcore.errors import SRError, StoreError
from srcore.layout import ProductPaths
from srcore.storage.files import fsync_file, fsync_folder, sha256_file
from srcore.storage.scratch import Source, read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Output:
    """One published file."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Receipt:
    """Our record of a published product."""

    dataset: str
    scene: str
    sources: tuple[Source, ...]
    model: str
    model_digest: str
    configuration: str
    parameters: Mapping[str, Any]
    """Tile plan, precision, device, workers: how it was made."""
    checks: Sequence[Mapping[str, Any]]
    verdict: str
    outputs: tuple[Output, ...]
    created: str
    """UTC, ISO 8601."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of every stage."""
    code_version: str = ""
    format: int = FORMAT

    def save(self, path: Path) -> None:
        """Write the receipt, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Receipt | None:
        """The receipt at `path`; None when there is none. StoreError when it cannot be understood."""
        if not path.exists():
            return None
        value = read_json(path)
        try:
            return cls(
                **{
                    **value,
                    "sources": tuple(Source(**source) for source in value["sources"]),
                    "outputs": tuple(Output(**output) for output in value["outputs"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path.name} is not a receipt", str(error), "remove it to publish again") from error


def publish(product: ProductPaths, staged: Path, receipt: Receipt) -> Receipt:
    """Move the staged files under their published names and write the receipt; gives it with the outputs filled in.

    The files must have been verified. Every point of failure leaves either the old product, or no receipt.
    """
    files = [path for path in (product.quicklook, product.report, product.stac, product.data)
             if (staged / path.name).exists()]  # fmt: skip
    outputs = []
    for path in files:
        fsync_file(staged / path.name)
        outputs.append(Output(path.name, sha256_file(staged / path.name), (staged / path.name).stat().st_size))
    complete = Receipt(**{**receipt.__dict__, "outputs": tuple(outputs)})
    try:
        product.receipt.unlink(missing_ok=True)
        fsync_folder(product.folder)
        for path in files:
            os.replace(staged / path.name, path)
        fsync_folder(product.folder)
        complete.save(product.receipt)
    except OSError as error:
        raise SRError(f"{product.data} cannot be published", error.strerror or str(error),
                      "free the place and run again", code="PUBLISH_FAILED") from error  # fmt: skip
    return complete


def is_whole(product: ProductPaths, receipt: Receipt, *, thorough: bool = False) -> bool:
    """True when every output stands there with its size and, when `thorough`, with its sha256."""
    for output in receipt.outputs:
        path = product.folder / output.name
        if not path.is_file() or path.stat().st_size != output.size_bytes:
            return False
        if thorough and sha256_file(path) != output.sha256:
            return False
    return bool(receipt.outputs)


def same_sources(receipt: Receipt, paths: Sequence[Path]) -> bool:
    """True when the files are those of the receipt: by path, size and time, else by sha256."""
    if [source.path for source in receipt.sources] != [str(path) for path in paths]:
        return False
    for source, path in zip(receipt.sources, paths, strict=True):
        if not path.is_file() or path.stat().st_size != source.size_bytes:
            return False
        if path.stat().st_mtime_ns != source.mtime_ns and sha256_file(path) != source.sha256:
            return False
    return True


def clear_scratch(folder: Path) -> None:
    """Remove a scratch folder, once its product is published, and its parent when nothing else is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another configuration's work is still there
        folder.parent.rmdir()
