"""The first look at a file that somebody names: readable, regular, where it may lie, and no larger than any scene."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from srcore.errors import SourceError

MAX_PIXELS = 2**35
"""Per band, or voxels: 185,000 x 185,000."""
_ADDRESS = re.compile(r"(s3|gs|az|https?|ftp|file):/", re.IGNORECASE)
"""What a path keeps of an address: one of its two slashes."""


def has_no_link(path: Path, home: Path) -> bool:
    """True where no link stands between a folder and a path below it."""
    return os.path.realpath(path) == os.path.join(os.path.realpath(home), path.relative_to(home))


def real_file(path: Path, roots: Sequence[Path] | None = None) -> Path:
    """`path` without links, when it is a readable regular file that lies in one of `roots`."""
    refuse_elsewhere(path)
    if str(path).startswith(("/vsi", "<")):
        raise SourceError(f"{path}: not a path of a file", "a GDAL name", "give a file on this machine", code="OUTSIDE")
    try:
        # where the links end counts, not where they lie: a link in a source's folder may point at anything
        real = Path(path).resolve(strict=True)
        inside = roots is None or any(real.is_relative_to(Path(root).resolve()) for root in roots)
        if not inside or str(real).startswith("/vsi"):
            raise SourceError(
                f"{path}: lies outside the folders that may be read", str(real), "move it into one", code="OUTSIDE"
            )
        if not stat.S_ISREG(real.stat().st_mode):
            raise SourceError(f"{path}: not a file", "a folder or a device", "give a raster file")
        real.open("rb").close()  # rights are known by trying: mode bits say nothing of ACLs and network shares
    except SourceError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{path}: cannot be read", reason.lower(), "check the path and its permissions", code="NOT_READABLE"
        ) from error
    return real


def refuse_elsewhere(path: Path) -> None:
    """SourceError OUTSIDE where somebody gives an address for a path. It is not repeated: it may hold a secret."""
    if found := _ADDRESS.match(str(path)):
        what, do = "a path of this machine is needed", "fetch what lies there, and give its path"
        raise SourceError(what, f"an address, {found[1].lower()}://", do, code="OUTSIDE")
