"""A series whose every text, in every VR, nested and private, in every file and folder name, tells of a patient."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import DicomDictionary, dictionary_VM
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.storage.dicom.series import dataset, save

WORD = "QXCANARYX"
"""In all texts; of capitals, since code strings have no others."""
BY_VR: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"), WORD),
    "PN": f"{WORD}^{WORD}",
    "UR": f"http://{WORD}",
    "DA": "18991231",
    "TM": "235959.987654",
    "DT": "18991231235959.987654",
    "AS": "099Y",
    "UI": "1.2.826.99887766.1",
    "UN": WORD.encode(),
    "OB": WORD.encode() + b"X",
}
TRACES = (WORD, "18991231", "235959.98", "99887766", "099Y")
"""What must be found nowhere."""
NEEDED = frozenset(
    {
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImageType", "PhotometricInterpretation"),
        *("LossyImageCompression", "SpecificCharacterSet", "PresentationLUTShape", "PixelData", "BurnedInAnnotation"),
        *("FrameType", "EncapsulatedDocument", "TimezoneOffsetFromUTC"),
    }
)
"""Words without which it is no series; UIDs among them are told by their numbers."""


def canaries(place: int, sequence: bool = True) -> Dataset:
    """Every element of the standard's dictionary that can hold a word, with one."""
    made = Dataset()
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        group = tag >> 16
        if not 0x0008 <= group < 0x7FE0 or not keyword or retired or keyword in NEEDED:
            continue
        if vr in BY_VR:
            value = BY_VR[vr]
            made.add_new(tag, vr, [value, value] if dictionary_VM(tag) in ("2", "2-n") else value)
    block = made.private_block(0x0011, f"{WORD} 1.0", create=True)
    for offset, vr in enumerate(BY_VR):
        block.add_new(offset + 1, vr, BY_VR[vr])
    if sequence:
        inner = canaries(place, sequence=False)
        inner.ReferencedSOPClassUID = inner.ReferencedSOPInstanceUID = BY_VR["UI"]
        for name in ("ReferencedStudySequence", "RequestAttributesSequence", "SourceImageSequence"):
            setattr(made, name, Sequence([inner]))
        block.add_new(0x90, "SQ", Sequence([inner]))
    return made


def canary_slice(plane: NDArray[Any], place: int, **changes: Any) -> Dataset:
    """A slice that can be read, and says the word wherever it can."""
    made = canaries(place)
    own = dataset(plane, place, **changes)
    texts = {name for name in own.dir() if own[name].VR in BY_VR and name not in NEEDED}
    for element in own:
        if element.keyword not in texts:
            made.add(element)
    made.SOPInstanceUID, made.SeriesInstanceUID = f"{BY_VR['UI']}.{place + 1}", f"{BY_VR['UI']}.1"
    return made


def write_canaries(folder: Path, values: NDArray[Any], **changes: Any) -> Path:
    """A series in a folder of that name, with the word in every file's name."""
    for place, plane in enumerate(values):
        own = {name: value(place) if callable(value) else value for name, value in changes.items()}
        save(canary_slice(plane, place, **own), folder / f"{WORD}_{place:02}.dcm")
    (folder / f"{WORD}.txt").write_text(WORD)
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """The same in a zip, with the word in the names of folders and members, and in its comment."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = WORD.encode()
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{WORD}/{file.name}")
    return path


def pixels(slices: int = 2) -> NDArray[np.int16]:
    """Numbers of noise."""
    return (np.random.default_rng(1).random((slices, 40, 40)) * 900 + 100).astype(np.int16)


def traces(folders: Iterable[Path], words: Iterable[str] = TRACES) -> list[str]:
    """Files whose path below a folder, or content, has a word, as text of 8 or 16 bits, packed or not."""
    forms = [(word, word.encode(form)) for word in words for form in ("ascii", "utf-16-le")]
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name, data = str(path.relative_to(folder)), _content(path)
            found += [f"{name}: {word}" for word, form in forms if word in name or form in data]
    return sorted(set(found))


def _content(path: Path) -> bytes:
    if not path.is_file():
        return b""
    data = path.read_bytes()
    try:
        return data + (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b"")
    except (OSError, EOFError):
        return data
