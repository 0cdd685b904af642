"""Names and places: what every file of the store is called. Nothing here touches a disk.

STORE/DATASET/products/SCENE/SCENE.tif          the product (.nii.gz for a volume, .dicom/ for a series)
                            SCENE.trust.tif     how far each of its pixels may be off, where asked for
                            SCENE.zarr.zip      the product once more, as Zarr 3, where asked for
                            SCENE.json          its STAC item
                            SCENE.png           its quicklook
                            SCENE.report.json   the checks
                            SCENE.report.html   the same for people, with pictures and provenance
                            SCENE.receipt.json  written last: without it nothing here is published
STORE/index.html                            all datasets, what failed first
STORE/DATASET/index.html, index-2.html ...   all products of the dataset, and what is in quarantine, 500 a page
STORE/DATASET/totals.json                   the dataset in a few numbers: for the store's page and for metrics
STORE/DATASET/quarantine/SCENE.json         why a scene failed
                         SCENE.html         the page of a product that a gate stopped
STORE/DATASET/audit.json                    when each product was read again, and what was found
STORE/DATASET/night.json                    how far the night is that runs; gone when it ends
STORE/DATASET/nights.json                   the last nights, and how long their scenes took
STORE/DATASET/.night/lease.json             which process runs the night, while one does
STORE/DATASET/champions.json                what became of the scenes of each champion
STORE/DATASET/shadow/SCENE.DIGEST.json      what a challenger would have published of a scene
STORE/DATASET/.shadow/SCENE/                its work: gone when that is known
STORE/DATASET/retired/SCENE.WHEN.json       a product that somebody removed: which, who, why
STORE/DATASET/retrain/split.json            which scenes are held out, for good, with their places and digests
                      tries.json            which challengers they judged, in their order
                      learned.json          which scenes its champion has learned from
                      promoting.json        what a promotion on its way will leave: gone when it is there
                      KEY.json, KEY.html    what became of a challenger, and its evaluation
STORE/DATASET/pairs/pairs.json, pairs.html  which scenes are pairs of HR and LR, and why the others are none
                   SCENE/                   pair.zarr, pair.json: an accepted pair and where it comes from
STORE/DATASET/.retrain/KEY/                 pairs/, challenger/: gone when that is decided
STORE/DATASET/.scratch/SCENE/lease.json     which run holds the scene, while one does
STORE/DATASET/.scratch/SCENE/KEY/           tiles.zarr, sr.zarr, done/, staged/: gone when published
STORE/.waiting/ID/lease.json                somebody asked for a scene by hand: nights let it go first
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from srcore.errors import SourceError

PLAN = "plan.json"
PUBLISHING = "publishing.json"
LEASE = "lease.json"
"""Of a folder: who works in it."""
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


FOLDER = ".dicom"
FORMS = (".nii.gz", ".nii", ".tif", ".tiff", FOLDER)
"""How names of products end, in any case; the last one is of folders."""
_FORM = re.compile(rf"({'|'.join(map(re.escape, FORMS))})$", re.IGNORECASE)
BREAK = "\u200b"
"""Invisible: where a page may break a long name. A name that was copied from one still has them."""


def safe_id(name: str) -> str:
    """`name` when it can be a file name everywhere, else a readable stub and 12 hex digits of its sha256."""
    if SAFE_ID.fullmatch(name):
        return name
    stub = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "scene"
    return f"{stub}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def band_files(source: Path, bands: Sequence[str] | None) -> tuple[Path, ...]:
    """The files of a scene: with '{band}' in `source` one for each of `bands`, else the one that it names.

    SourceError when '{band}' has no bands to stand for.
    """
    if "{band}" not in str(source):
        return (source,)
    if not bands:
        raise SourceError(f"{source} needs band names", "no --bands", "name them: --bands B2,B3,B4", code="BAD_SETTING")
    return tuple(Path(str(source).replace("{band}", band)) for band in bands)


DATE = re.compile(r"(?:YYYY([-_. ]?)MM\1DD|DD([-_. ]?)MM\2YYYY|YYYY[-_. ]?DDD)(?:[T_ -]?hh[-_:.]?mm(?:[-_:.]?ss)?)?")
"""How a pattern says where a date stands."""
_DIGITS = {
    "YYYY": r"(?P<year>\d{4})",
    "MM": r"(?P<month>\d\d)",
    "DDD": r"(?P<days>\d{3})",
    "DD": r"(?P<day>\d\d)",
    "hh": r"(?P<hour>\d\d)",
    "mm": r"(?P<minute>\d\d)",
    "ss": r"(?P<second>\d\d)",
}
MAX_STARS = 3
"""Of a pattern: each multiplies the places that are tried."""


def check_date(text: str) -> None:
    """ValueError unless a text is a date, or says once where one stands in a name (`dates_by`)."""
    if DATE.search(text) is None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            do = "a date, as 2023-06-02, or where it stands in a name, as scene_YYYYMMDD_*.tif or YYYY-MM-DD/*"
            raise ValueError(f"{do}, is needed") from None
    elif len(DATE.findall(text)) > 1 or text.count("*") > MAX_STARS:
        raise ValueError(f"a pattern holds one date, and up to {MAX_STARS} times *")


def dates_by(pattern: str, path: str) -> list[dict[str, str]]:
    """The digits, by what they are, that a pattern of one date finds in a path: none, one or, where it fits twice, two.

    The pattern is a glob of the file's name, and of as many folders above it as it names; capitals count. At a * the
    digits of the date begin and end, so that no part of a longer number is one.
    """
    tail = "/".join(path.split("/")[-1 - pattern.count("/") :])
    first = re.fullmatch(_by(pattern, "[^/]*?"), tail)
    last = re.fullmatch(_by(pattern, "[^/]*"), tail)
    found = [one.groupdict() for one in (first, last) if one is not None]
    return found[:1] if found[:1] == found[1:] else found


def _by(pattern: str, anything: str) -> str:
    """The pattern as a regular expression; which * is short decides which of several places is found."""
    date = DATE.search(pattern)
    assert date is not None, "checked where it was given"
    before, after = pattern[: date.start()], pattern[date.end() :]
    digits = re.sub("YYYY|DDD|DD|MM|hh|mm|ss|.", lambda word: _DIGITS.get(word[0], re.escape(word[0])), date[0])
    start, end = r"(?<!\d)" * before.endswith("*"), r"(?!\d)" * after.startswith("*")
    wild = {"*": anything, "?": "[^/]"}
    head, tail = ("".join(wild.get(sign, re.escape(sign)) for sign in part) for part in (before, after))
    return f"{head}{start}{digits}{end}{tail}"


@dataclass(frozen=True)
class ProductPaths:
    """Where the files of one product are published."""

    folder: Path
    name: str
    """File name of the product itself, with its suffix."""

    @property
    def stem(self) -> str:
        """Name without what says its form."""
        return _FORM.sub("", self.name)

    @property
    def is_folder(self) -> bool:
        """True where the data are a folder of files, as a DICOM series is: a name without an ending, or .dicom."""
        return "." not in self.name or self.name.lower().endswith(FOLDER)

    @property
    def data(self) -> Path:
        """The COG or NIfTI file, or the folder of a DICOM series."""
        return self.folder / self.name

    @property
    def trust(self) -> Path:
        """The trust map, in the format of the data."""
        return self.folder / f"{self.stem}.trust{self.name.removeprefix(self.stem)}"

    @property
    def cube(self) -> Path:
        """The product as Zarr 3, in one file; of a volume as OME-Zarr."""
        form = ".zarr.zip" if self.name.lower().endswith((".tif", ".tiff")) else ".ozx"
        return self.folder / f"{self.stem}{form}"

    @property
    def stac(self) -> Path:
        """The STAC item."""
        return self.folder / f"{self.stem}.json"

    @property
    def quicklook(self) -> Path:
        """The quicklook PNG."""
        return self.folder / f"{self.stem}.png"

    @property
    def report(self) -> Path:
        """The checks, as JSON."""
        return self.folder / f"{self.stem}.report.json"

    @property
    def page(self) -> Path:
        """The checks for people: one HTML file that needs nothing else."""
        return self.folder / f"{self.stem}.report.html"

    @property
    def files(self) -> tuple[Path, ...]:
        """All but the receipt, in the order in which they are published: the data last."""
        return (self.quicklook, self.report, self.page, self.trust, self.cube, self.stac, self.data)

    @property
    def names(self) -> frozenset[str]:
        """All that may stand beside its receipt, in whatever form it was made before."""
        forms = {f"{self.stem}{part}{form}" for form in FORMS for part in ("", ".trust")}
        return frozenset(forms | {path.name for path in (*self.files, self.receipt)})

    @property
    def receipt(self) -> Path:
        """Written last."""
        return self.folder / f"{self.stem}.receipt.json"


def lease_path(scratch: Path) -> Path:
    """The lease on a scene, in the parent of its scratch folders."""
    return scratch / LEASE


@dataclass(frozen=True)
class Scratch:
    """Where the work on one product lies until it is published."""

    folder: Path

    @property
    def plan(self) -> Path:
        return self.folder / PLAN

    @property
    def tiles(self) -> Path:
        return self.folder / "tiles.zarr"

    @property
    def sr(self) -> Path:
        return self.folder / "sr.zarr"

    @property
    def done(self) -> Path:
        """One marker a finished tile."""
        return self.folder / "done"

    @property
    def engine(self) -> Path:
        """Which backend computes the tiles, chosen once for all of them."""
        return self.folder / "engine.json"

    @property
    def ingested(self) -> Path:
        """Written when all tiles are cut."""
        return self.folder / "ingest.json"

    @property
    def publishing(self) -> Path:
        """There while published names change: what stands there without receipt is ours. Outlives this folder."""
        return self.folder.parent / PUBLISHING

    @property
    def pictures(self) -> Path:
        """What EXPORT painted for the page."""
        return self.folder / "pictures.json"

    @property
    def evidence(self) -> Path:
        """What VALIDATE counted for the page."""
        return self.folder / "evidence.json"

    @property
    def staged(self) -> Path:
        """The product's files before they are published."""
        return self.folder / "staged"


@dataclass(frozen=True)
class DatasetPaths:
    """Where a dataset of the catalog lies in the store."""

    root: Path

    @property
    def products(self) -> Path:
        """A folder a scene."""
        return self.root / "products"

    @property
    def quarantined(self) -> Path:
        """The records of what failed."""
        return self.root / "quarantine"

    def product(self, scene: str, suffix: str) -> ProductPaths:
        return ProductPaths(self.products / scene, scene + suffix)

    @property
    def index(self) -> Path:
        """The page of the whole dataset."""
        return self.root / "index.html"

    @property
    def collection(self) -> Path:
        """The dataset in the archive's STAC catalog."""
        return self.root / "collection.json"

    @property
    def audit(self) -> Path:
        """When each product was read again."""
        return self.root / "audit.json"

    @property
    def night(self) -> Path:
        """How far the night is that runs."""
        return self.root / "night.json"

    @property
    def nights(self) -> Path:
        """The last nights."""
        return self.root / "nights.json"

    @property
    def night_lease(self) -> Path:
        """Which process runs the night."""
        return self.root / ".night" / "lease.json"

    @property
    def waiting(self) -> Path:
        """A folder for each scene of the store that somebody asked for by hand, and that is not done yet."""
        return self.root.parent / ".waiting"

    @property
    def champions(self) -> Path:
        """What became of the scenes of each champion."""
        return self.root / "champions.json"

    @property
    def shadows(self) -> Path:
        """Records of what a challenger would have published."""
        return self.root / "shadow"

    @property
    def shadowing(self) -> Path:
        """Where a challenger does scenes that are not published."""
        return self.root / ".shadow"

    @property
    def retired(self) -> Path:
        """Records of products that were removed."""
        return self.root / "retired"

    @property
    def pairs(self) -> Path:
        """A folder a pair that can be learned from."""
        return self.root / "pairs"

    @property
    def pairs_page(self) -> Path:
        """Which scenes are pairs, for people."""
        return self.pairs / "pairs.html"

    @property
    def retrained(self) -> Path:
        """Records of what was trained on this dataset."""
        return self.root / "retrain"

    @property
    def retraining(self) -> Path:
        """Where a challenger is trained."""
        return self.root / ".retrain"

    def scratch(self, scene: str) -> Path:
        """Parent of a scene's scratch folders, one a configuration."""
        return self.root / ".scratch" / scene

    def quarantine(self, scene: str) -> Path:
        return self.quarantined / f"{scene}.json"
