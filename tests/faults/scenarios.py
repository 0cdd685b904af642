"""What happens to an archive while the power may go, and what must be true of it afterwards."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel
import numpy as np

from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.run import scene
from srcore.run.direct import direct_job
from srcore.storage.archive.removal import remove_product
from tests.faults import archive
from tests.storage.dicom.series import write_series

RECEIPT = ".receipt.json"


class Scenario:
    """An archive, what happens to it while the power may go, and what must be true of it afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.catalog = archive.write_catalog(folder)
        self.source = archive.write_scene(folder / "in" / "scene.tif", seed=1)
        self.store.mkdir()

    def run(self) -> list[str]:
        """What happens; how each scene ended."""
        return [outcome.result for outcome in archive.run(self.catalog)]

    def again(self) -> str:
        """The next run; what is wrong with how it ended."""
        ends = self.run()
        return "" if ends in (["published"], ["up to date"]) else f"ended with {ends}"

    def ended(self) -> dict[str, str]:
        """What there is after the next run, where that can be compared; nothing hidden may be left."""
        found = archive.published(self.folder) | {f"left: {name}": b"" for name in archive.leftovers(self.folder)}
        return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


class Replaced(Scenario):
    """A product is replaced by another one, of a source that changed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.run()
        archive.write_scene(self.source, seed=2)


class Removed(Scenario):
    """A product is removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        super().run()
        self.source.unlink()
        archive.write_scene(folder / "in" / "other.tif", seed=2)
        super().run()

    def run(self) -> list[str]:
        places = DatasetPaths(self.store / archive.DATASET)
        return [str(remove_product(places, places.product("scene", ".tif"), "somebody", "a test"))]

    def again(self) -> str:
        ends = super().run()
        return "" if ends == ["up to date"] else f"ended with {ends}"

    def ended(self) -> dict[str, str]:
        return {}  # before the removal began there is a product, and then none


class Direct(Scenario):
    """`srcore upscale SOURCE OUTPUT`, in a folder of the user's."""

    def run(self) -> list[str]:
        output = self.store / "new" / "sr.tif"
        job = direct_job(str(self.source), output, model="bicubic-x2", tile=32, block=32)
        return ["published" if scene.run_scene(job, Workers(0)) else "nothing"]

    def again(self) -> str:
        try:
            self.run()
        except SRError as error:
            whole = any(self.store.rglob(f"sr{RECEIPT}"))
            return "" if error.code == "OUTPUT_EXISTS" and whole else f"ended with {error.code}: {error}"
        return ""

    def ended(self) -> dict[str, str]:
        return dict.fromkeys((str(path.relative_to(self.store)) for path in self.store.rglob("*")), "there")


class Volume(Direct):
    """The same of a volume: its product is a NIfTI, which is synced when it is published."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.volume = folder / "in" / "volume.nii"
        write_volume(self.volume)

    def run(self) -> list[str]:
        job = direct_job(str(self.volume), self.store / "sr.nii.gz", model="bicubic-x2", tile=16)
        return ["published" if scene.run_scene(job, Workers(0)) else "nothing"]


class Series(Direct):
    """A derived DICOM series, a folder, in place of one of the same source that had other numbers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.series = folder / "in" / "series"
        for seed in (1, 2):
            values = np.random.default_rng(seed).integers(0, 900, (3, 12, 14)).astype(np.int16)
            write_series(self.series, values)
            if seed == 1:
                self.run()

    def run(self) -> list[str]:
        job = direct_job(str(self.series), self.store / "sr", model="bicubic-x2", tile=16, overwrite=True)
        return ["published" if scene.run_scene(job, Workers(0)) else "nothing"]


SCENARIOS = {
    "published": Scenario,
    "replaced": Replaced,
    "removed": Removed,
    "direct": Direct,
    "volume": Volume,
    "series": Series,
}


def write_volume(path: Path) -> None:
    """A small volume of slices 3 mm apart."""
    values = np.random.default_rng(3).integers(0, 900, (1, 5, 12, 14)).astype(np.int16)
    image = nibabel.Nifti1Image(np.transpose(values[0], (2, 1, 0)), np.diag([1.0, 1.0, 3.0, 1.0]))
    nibabel.save(image, path)
