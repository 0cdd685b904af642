"""Publishing: what stands under a published name is complete, verified, and matches its receipt.

    staged/ (hidden) --verified--> fsync --> new receipt, hidden --> old receipt away --> rename each file
                                                            --> fsync folder --> rename the receipt --> fsync folder

Without a receipt nothing is published. While a product is replaced it has no receipt, so a reader who asks
for the receipt never sees files of two runs as one product. All bytes are on the disk before the first visible
name changes: from there on a full disk can stop nothing. An object store renames nothing: see `archive.runs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import on_object_store
from srcore.errors import SRError, StoreError
from srcore.layout import PUBLISHING, ProductPaths, Scratch
from srcore.storage.disk.files import fsync_file, fsync_folder, make_folder, sha256_file, store_error
from srcore.storage.disk.records import parse_json, write_json
from srcore.storage.disk.store import Store, sha256_of, store_at
from srcore.storage.disk.veil import MARK
from srcore.storage.disk.watch import Source

RECEIPT = ".receipt.json"
CLOSED = "srcore:closed"
"""Key of what stands in the place of a receipt while a product is removed from an object store."""


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
    computing_s: float = 0.0
    """Time in the generator, summed over the workers: what the product cost."""
    code_version: str = ""
    flags: tuple[str, ...] = ()
    """What a user should know of the scene: what was dropped, guessed, or read beside its files."""
    format: int = 1
    """Of `configuration` and of this record; 1 where a receipt does not say it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The flags, and whether checks had no basis in the scene."""
        silent = any(check.get("state", "measured") != "measured" for check in self.checks)
        return (*self.flags, *(["some checks had no basis here: the page names them"] if silent else []))

    @property
    def is_private(self) -> bool:
        """True where it names no source: its product may be a picture of somebody."""
        return any(source.path.startswith(MARK) for source in self.sources)

    def save(self, path: Path) -> None:
        """Write the receipt, whole or not at all."""
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The record as it is stored."""
        files = {"sources": [vars(one) for one in self.sources], "outputs": [vars(one) for one in self.outputs]}
        return {**vars(self), **files}

    @classmethod
    def load(cls, path: Path) -> Receipt | None:
        """The receipt at `path`; None when there is none. StoreError when it cannot be understood."""
        data = store_at(path.parent).get(path.name)
        return None if data is None else cls.read(data, path.name)

    @classmethod
    def read(cls, data: bytes, name: str) -> Receipt | None:
        """The receipt in `data`; None for what stands in the place of one that is removed. StoreError, see `load`."""
        value = parse_json(data, name)
        if CLOSED in value:
            return None
        try:
            return cls(
                **{
                    **value,
                    "sources": tuple(Source(**source) for source in value["sources"]),
                    "outputs": tuple(Output(**output) for output in value["outputs"]),
                    "flags": tuple(value.get("flags", ())),
                }
            )
        except (KeyError, TypeError) as error:
            raise StoreError(f"{name} is not a receipt", str(error), "remove it to publish again") from error


def publish(product: ProductPaths, scratch: Scratch, receipt: Receipt, verified: Mapping[str, str]) -> Receipt:
    """Move the staged files under their published names and write the receipt; gives it with the outputs filled in.

    `verified` holds the sha256 that a file had when it was verified, by its name. Every point of failure leaves
    either the old product, or no receipt and the record that publishing began. StoreError when a file is another
    one now (VERIFY_FAILED), or when the store cannot be written; on an object store also LeaseError and AwayError.
    """
    if on_object_store(product.folder):
        from srcore.storage.archive.runs import publish_run  # it stands on this module

        return publish_run(product, scratch, receipt, verified)
    staged, store = ProductPaths(scratch.staged, product.name), store_at(product.folder)
    try:
        outputs = verified_outputs(staged, verified)
        complete = replace(receipt, outputs=outputs)
        _make_own(product.folder, receipt)
        complete.save(staged.receipt)
        new = {output.name for output in outputs}
        own = own_names(product) | interrupted(scratch.publishing.parent)
        replaced = {name for name in own if _is_replaced(product, name)}
        _refuse_new_strangers(product, new - replaced, replaced)
        # From here on what stands under these names without a receipt is known to be ours.
        write_json(scratch.publishing, {"names": sorted(new | replaced | {product.receipt.name})})
        # Each of these is on the disk before the next: after a power cut, too, no receipt speaks of files of two runs.
        store.delete(product.receipt.name)
        store.delete(*sorted(name for name in replaced if "/" in name))  # a folder is renamed where there is none
        tops = dict.fromkeys(top_of(output.name) for output in outputs)
        store.take({top: staged.folder / top for top in tops})
        store.delete(*sorted(replaced - new - tops.keys()))  # what is made no more, as a trust map, or in another form
        store.take({product.receipt.name: staged.receipt})
    except SRError:
        raise
    except OSError as error:
        raise store_error(product.data, error) from error
    return complete


def _make_own(folder: Path, receipt: Receipt) -> None:
    """The folder of a product; of a private scene of the store its owner's alone. By hand it is the user's."""
    make_folder(folder)
    if receipt.dataset and receipt.is_private:
        folder.chmod(0o700)


def is_plain(name: str) -> bool:
    """Whether a name leads nowhere but to a file of the folder, or of one in it."""
    parts = name.split("/")
    return len(parts) <= 2 and all(part not in (".", "..") and Path(part).name == part for part in parts)


def top_of(name: str) -> str:
    """The file or the folder that an output of that name lies in or is."""
    return name.partition("/")[0]


def _is_replaced(product: ProductPaths, name: str) -> bool:
    """Whether a new product stands in place of what has that name: of a folder of its own all forms, else its own."""
    same = product.names if _is_alone(product) else {path.name for path in product.files}
    return top_of(name) in same and name != product.receipt.name


def _refuse_new_strangers(product: ProductPaths, names: Collection[str], replaced: Collection[str]) -> None:
    """PLAN looked for them; what came since is nobody's to replace."""
    strangers = [one.name for one in store_at(product.folder).list() if one.name in names]
    if product.is_folder:
        strangers += sorted({f"{product.name}/{name}" for name in names_below(product.data)} - set(replaced))
    if strangers:
        raise StoreError(
            f"{product.folder / strangers[0]} came during the run",
            "no receipt of srcore names it",
            "move it, and run again",
            code="OUTPUT_EXISTS",
        )


def names_below(folder: Path) -> list[str]:
    """Everything in the folder of a product, hidden or not, sorted; of what is no folder nothing."""
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def output_files(staged: ProductPaths) -> dict[str, Path]:
    """The files of a product that are there, by the names that its receipt has for them, the data last.

    Of a folder each file is one: FOLDER/FILE.
    """
    found: dict[str, Path] = {}
    for path in staged.files:
        if path.is_dir():
            found |= {f"{path.name}/{name}": path / name for name in names_below(path)}
        elif path.exists():
            found[path.name] = path
    return found


def verified_outputs(staged: ProductPaths, verified: Mapping[str, str]) -> tuple[Output, ...]:
    """The staged files of a product as its receipt names them; StoreError VERIFY_FAILED where one has changed."""
    return tuple(_output(name, path, verified) for name, path in _there(staged, verified).items())


def _there(staged: ProductPaths, verified: Mapping[str, str]) -> dict[str, Path]:
    if staged.data.is_dir():
        fsync_folder(staged.data)
    return output_files(staged) | {name: staged.folder / name for name in verified}


def check_verified(staged: Path, verified: Mapping[str, str]) -> None:
    """StoreError VERIFY_FAILED unless the staged files are those that were verified."""
    for name, sha256 in verified.items():
        try:
            found = sha256_file(staged / name)
        except OSError as error:
            found = error.strerror or str(error)
        if found != sha256:
            raise _changed(name, found)


def _changed(name: str, found: str) -> StoreError:
    return StoreError(
        f"{name} changed after it was verified", found, "look for a failing disk, and run again", code="VERIFY_FAILED"
    )


def _output(name: str, path: Path, verified: Mapping[str, str]) -> Output:
    # Read once more although it was verified: the checks lie between, and a rename asks nothing of the bytes.
    fsync_file(path)
    output = Output(name, sha256_file(path), path.stat().st_size)
    if verified.get(name, output.sha256) != output.sha256:
        raise _changed(name, output.sha256)
    return output


def published_names(product: ProductPaths) -> set[str]:
    """Names of the files that the receipt of a product speaks of, its own included; none without one.

    A damaged receipt in the product's own folder of an archive speaks of all that a product can have.
    """
    try:
        receipt = Receipt.load(product.receipt)
    except StoreError:
        return _all_names(product)
    if receipt is None:
        return set()
    return {product.receipt.name, *(output.name for output in receipt.outputs if is_plain(output.name))}


def own_names(product: ProductPaths) -> set[str]:
    """Names that a new product may replace: those of the receipt or, where an archive lost it, all of a product's.

    Only so does an archive heal; a folder that the user chose is not ours without a receipt.
    """
    return published_names(product) or _all_names(product)


def _all_names(product: ProductPaths) -> set[str]:
    """All that a product can have, where it has a folder of its own in an archive; none elsewhere."""
    if not _is_alone(product):
        return set()
    inside = {f"{product.name}/{name}" for name in names_below(product.data)}
    return {path.name for path in (*product.files, product.receipt)} | inside


def _is_alone(product: ProductPaths) -> bool:
    return product.folder.name == product.stem and product.folder.parent.name == "products"


def interrupted(scratch: Path) -> set[str]:
    """Names that a publication began to make visible and did not end; none where all ended well."""
    try:
        data = store_at(scratch).get(PUBLISHING)
        if data is None:
            return set()
        return {name for name in map(str, parse_json(data, PUBLISHING)["names"]) if is_plain(name)}
    except (StoreError, KeyError, TypeError):
        return set()


def is_whole(product: ProductPaths, receipt: Receipt, *, thorough: bool = False) -> bool:
    """True when every output stands there with its size and, when `thorough`, with its sha256."""
    # Sizes alone unless asked: `srcore status` and every night look at all products of the archive.
    store, folders = store_at(product.folder), {top_of(output.name) for output in receipt.outputs if "/" in output.name}
    listed = [*store.list(), *(stored for folder in folders for stored in store.list(folder, deep=True))]
    sizes = {stored.name: stored.size_bytes for stored in listed}
    doubtful = [output for output in receipt.outputs if sizes.get(output.name) != output.size_bytes]
    if not receipt.outputs or any(_size(store, output.name) != output.size_bytes for output in doubtful):
        return False
    outputs = receipt.outputs if thorough else ()
    return all(sha256_of(product.folder / output.name) == output.sha256 for output in outputs)


def _size(store: Store, name: str) -> int | None:
    """Of one object, asked for by its name: the listing of an object store may be older than what it lists."""
    found = store.find(name)
    return found.size_bytes if found is not None else None


def find_receipts(products: Path) -> list[tuple[Path, int]]:
    """Every receipt below a dataset's folder of products, and when it was written in ns since 1970, by scene."""
    if on_object_store(products):  # a request for 1000 objects, not one a scene
        found = [one for one in store_at(products).list(deep=True) if one.name.count("/") == 1]
        return [(products / one.name, one.mtime_ns) for one in found if one.name.endswith(RECEIPT)]
    return [
        (products / scene / stored.name, stored.mtime_ns)
        for scene in store_at(products).folders()
        for stored in store_at(products / scene).list()
        if stored.name.endswith(RECEIPT)
    ]
