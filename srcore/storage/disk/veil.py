"""Names that tell nothing: a text as a keyed hash, so that the same text gets the same name, and no list undoes it.

The key lies with the user's data, outside every store, is made at first use, and only its owner may read it. Who has
it can prove that a name stands for a text; without it the text cannot be guessed. A lost key gives all ids anew.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from srcore.errors import SRError, StoreError, in_words, printable
from srcore.settings import load_settings
from srcore.storage.disk.files import hidden_beside, store_error

T = TypeVar("T")
KEY_BYTES = 32
DIGITS = 16
"""Of an id: one of 10,000 scenes meets another one once in 10^11 archives."""
NAME_LETTERS = 4
"""Of a name that is looked for in a text by itself: a shorter one would be found in the words of a message."""
MARK = "veiled:"
"""What stands before a path that a record does not tell."""


def veiled(text: str, digits: int = DIGITS) -> str:
    """Hex digits that stand for a text on this machine; StoreError where the key cannot be read or made."""
    key = _key(load_settings().key_file)
    return hmac.new(key, text.encode(errors="surrogatepass"), sha256).hexdigest()[:digits]


def veiled_path(text: str) -> str:
    """A path as a record of a private scene has it."""
    return MARK + veiled(text, 32)


def telling(files: Iterable[Path], roots: Iterable[Path]) -> tuple[Path, ...]:
    """Paths that may tell of a patient: files, and the folders that they lie in below the roots."""
    files, roots = tuple(files), frozenset(roots)
    folders = {up for one in files for up in one.parents}
    below = (up for up in folders if any(up != root and up.is_relative_to(root) for root in roots))
    return tuple(dict.fromkeys((*files, *sorted(below))))


def nameless(paths: Collection[Path], call: Callable[[], T]) -> T:
    """What a call gives; whatever it raises names none of these paths. Without any it is raised as it is."""
    try:
        return call()
    except Exception as error:
        if not paths:
            raise
        told = without_names(in_words(error), paths)
    raise told  # out here: raised where it was caught, it would bring along the one that names files


def without_paths(text: str, paths: Iterable[Path]) -> str:
    """A text in which hashes stand for paths, and for their last parts, as messages have them."""
    named = {str(path) for path in paths}
    for one in sorted((form for each in named if len(each) > 1 for form in _forms(each)), key=len, reverse=True):
        text = text.replace(one, veiled_path(one))
    names = {name for each in named if len(name := Path(each).name) >= NAME_LETTERS}
    for one in sorted((form for name in names for form in _forms(name)), key=len, reverse=True):
        if one in text:  # asked first: a series has thousands of names, and each is a pattern of its own
            text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", veiled_path(one), text)
    return text


def _forms(name: str) -> set[str]:
    """A name as messages have it: as it is, in quotes of Python's, or with one blank for each run of them."""
    shown = printable(name)
    return {shown, repr(name)[1:-1], " ".join(shown.split())}


def without_names(told: SRError, paths: Collection[Path]) -> SRError:
    """An error with hashes for paths, and without its cause, which may have them; itself where there is none."""
    if not paths:
        return told
    parts = [without_paths(part, paths) for part in (told.what, told.found, told.do)]
    hidden = type(told)(*parts, code=told.code)
    own = {name: value for name, value in told.__dict__.items() if name not in ("what", "found", "do", "__notes__")}
    hidden.__dict__.update(own)
    return hidden


@lru_cache(maxsize=8)
def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
        shared = path.stat().st_mode & 0o077
    except OSError as error:
        raise store_error(path, error) from error
    if len(key) != KEY_BYTES or shared:
        found = "others may read it" if shared else f"{len(key)} bytes"
        do = "chmod 600 it, or move it away: then all private scenes get new ids"
        raise StoreError(f"{path}: not a private key of srcore", found, do)
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = hidden_beside(path)
    try:
        with open(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
