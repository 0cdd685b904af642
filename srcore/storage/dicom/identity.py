"""Who the patient is in a derived series: as in the source, or de-identified by the Basic Profile of PS3.15, E.2.

The profile takes out what its table lists and leaves the rest; here only what `attributes` lists is ever copied, so
what the profile does not know of, as private elements, is not there either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from srcore.choices import Identity
from srcore.storage.dicom.attributes import EMPTY, IMAGE_TYPES, NUMBERS, TEXTS, UIDS, WORDS
from srcore.storage.disk.veil import veiled

BASIC_PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")
METHOD = "srcore: geometry, numbers and the standard's words alone"
MOST_LETTERS = 16
"""Of a number in text (DS)."""
UID_ROOT = "2.25."
"""Of UIDs that are a number of 128 bits; see PS3.5, B.2."""


def uid_of(text: str, identity: Identity) -> str:
    """The UID that stands for a text; where identity is removed a keyed one, which no list of texts undoes."""
    digits = veiled(text, 32) if identity == "remove" else hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{UID_ROOT}{int(digits, 16)}"


def kept_uid(uid: str, identity: Identity) -> str:
    """A UID of the source, or what stands for it."""
    return uid if identity == "keep" else uid_of(uid, identity)


def copied(origin: Dataset, identity: Identity) -> Dataset:
    """What a derived series has of its source but for geometry and pixels, with what PS3.15 asks to be said."""
    found = Dataset()
    for name in (*NUMBERS, *WORDS, *(TEXTS if identity == "keep" else ())):
        with suppress(ValueError, TypeError, OverflowError):  # a number that is none is left out
            if name in origin and (name in TEXTS or _is_known(origin, name, identity)):
                found.add(_short(origin[name]))
    for name in EMPTY:
        if name not in found:
            setattr(found, name, None)
    for name in filter(origin.get, UIDS):
        setattr(found, name, kept_uid(str(origin.get(name)), identity))
    if identity == "remove":
        _say_removed(found, str(origin.get("PatientID") or ""))
    return found


def _short(element: DataElement) -> DataElement:
    """Of the standard's VR, whatever the file says; numbers in text have 16 characters, more than which many write."""
    vr = dictionary_VR(element.tag)
    return DataElement(element.tag, vr, decimals(element.value) if vr == "DS" else element.value)


def decimals(value: Any) -> Any:
    """One number or several as DICOM writes them, at most 16 characters each; those that are short stay as they are."""
    several = isinstance(value, MultiValue | list | tuple)
    told = [one if len(str(one)) <= MOST_LETTERS else format_number_as_ds(float(one)) for one in _many(value)]
    return told if several else told[0] if told else None


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, MultiValue | list | tuple) else () if value == "" else (value,)


def _is_known(origin: Dataset, name: str, identity: Identity) -> bool:
    """Whether its values are numbers, or words of the standard; a file may call a name a number."""
    if name in NUMBERS:
        return all(isinstance(one, int | float) for one in _many(origin[name].value))
    return identity == "keep" or set(words_of(origin, name)) <= WORDS[name]


def words_of(origin: Dataset, name: str) -> list[str]:
    """The values of an element of words."""
    value = origin.get(name)
    return [] if value is None else [value] if isinstance(value, str) else [str(one) for one in value]


def image_type(origin: Dataset, identity: Identity) -> list[str]:
    """DERIVED, SECONDARY, and what else the source said."""
    further = words_of(origin, "ImageType")[2:]
    if identity == "remove":
        further = [word if word in IMAGE_TYPES else "OTHER" for word in further]
    return ["DERIVED", "SECONDARY", *further]


def _say_removed(found: Dataset, patient: str) -> None:
    """The same patient has the same name in all series that this machine's key was used for."""
    found.PatientID = f"p-{veiled(f'patient {patient}')}"
    if "Laterality" not in found and "BodyPartExamined" not in found:
        found.Laterality = ""  # the body part of the source may have made it needless
    found.PatientName = f"Removed^{found.PatientID}"
    # YES would say it of the pixels, too (PS3.3, C.7.1.1)
    found.PatientIdentityRemoved = "NO" if found.get("BurnedInAnnotation") == "YES" else "YES"
    found.DeidentificationMethod = METHOD
    found.DeidentificationMethodCodeSequence = [coded(BASIC_PROFILE)]
    found.LongitudinalTemporalInformationModified = "REMOVED"


def coded(code: Code) -> Dataset:
    """A code as an item of a sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
