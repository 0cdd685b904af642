"""How the pixels of a series are packed, and whether they can be unpacked here: asked before any of them is read."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

from srcore.errors import SourceError
from srcore.storage.dicom.slices import Slice

DO_INSTALL = "pip install 'srcore[medical]'; for JPEG lossless and 12 bit: pip install python-gdcm"
EIGHT_BIT = {"pillow"}
"""What decodes JPEG of 8 bits alone."""


def refuse_undecodable(slices: Sequence[Slice]) -> None:
    """NO_DECODER where one of the slices is packed in a way that nothing here reads."""
    for syntax, bits in sorted({(one.syntax, one.bits[1]) for one in slices}):
        _refuse(UID(syntax), bits)


def _refuse(uid: UID, bits: int) -> None:
    if uid.is_transfer_syntax and not uid.is_compressed:
        return
    name = uid.name if uid.is_transfer_syntax else "an unknown transfer syntax"
    try:
        decoder = get_decoder(uid)
    except NotImplementedError:
        raise SourceError(
            "pixels packed in a way that no decoder reads", name, "export it uncompressed", code="NO_DECODER"
        ) from None
    if not _decodes(decoder, uid, bits):
        raise SourceError("pixels packed in a way that needs a decoder", name, DO_INSTALL, code="NO_DECODER")


def _decodes(decoder: Decoder, uid: UID, bits: int) -> bool:
    if uid == JPEGExtended12Bit and bits > 8:
        return bool(set(decoder.available_plugins) - EIGHT_BIT)
    return bool(decoder.is_available)
