"""Ways to spoil a file: each takes bytes and gives others, by a generator of random numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

HEAD = 512
"""Bytes in which most headers lie."""
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**64 - 1)
WORDS = (b"nan", b"inf", b"-1", b"0", b"1e999", b"-1.8e308", b"99999999999999999999", b"10000000", b"", b"null", b"[]")


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """One to eight bits are others."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """One to four bytes of the header are others."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(min(HEAD, len(changed)))] = rng.randrange(256)
    return bytes(changed)


def number(data: bytes, rng: random.Random) -> bytes:
    """A field of the header is a number at the end of a range."""
    size = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, min(HEAD, len(data)) - size))
    value = rng.choice(NUMBERS) % 256**size
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def cut(data: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def zeros(data: bytes, rng: random.Random) -> bytes:
    """A part is zeros, as a lost write leaves it."""
    at, size = rng.randrange(len(data)), rng.randint(1, max(1, len(data) // 2))
    size = min(size, len(data) - at)
    return data[:at] + bytes(size) + data[at + size :]


def doubled(data: bytes, rng: random.Random) -> bytes:
    """A part stands there twice."""
    at, size = rng.randrange(len(data)), rng.randint(1, max(1, len(data) // 4))
    return data[: at + size] + data[at : at + size] + data[at + size :]


def moved(data: bytes, rng: random.Random) -> bytes:
    """A part stands in the place of another."""
    size = rng.randint(1, max(1, len(data) // 4))
    source, target = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    return data[:target] + data[source : source + size] + data[target + size :]


def grown(data: bytes, rng: random.Random) -> bytes:
    """Something follows the end."""
    return data + rng.randbytes(rng.randint(1, 2000))


def word(data: bytes, rng: random.Random) -> bytes:
    """A number or a word of a text is another."""
    found = list(re.finditer(rb"[-+.\w]+", data))
    if not found:
        return data + b"?"
    one = rng.choice(found)
    return data[: one.start()] + rng.choice((*WORDS, rng.choice(found)[0])) + data[one.end() :]


def line(data: bytes, rng: random.Random) -> bytes:
    """A line is missing, or stands there twice."""
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at : at + 1] = [lines[at]] * rng.choice((0, 2))
    return b"".join(lines)


def brackets(data: bytes, rng: random.Random) -> bytes:
    """Very many brackets."""
    at = rng.randrange(len(data))
    return data[:at] + rng.choice((b"[", b"{", b"<a>", b'{"a":')) * 30_000 + data[at:]


BINARY: tuple[Mutation, ...] = (flip_bits, flip_head, flip_head, number, number, cut, zeros, doubled, moved, grown)
TEXT: tuple[Mutation, ...] = (flip_bits, cut, zeros, doubled, moved, grown, word, word, word, word, line, brackets)


def is_text(data: bytes) -> bool:
    """True where a person wrote it, or could have."""
    try:
        return "\0" not in data.decode()
    except ValueError:
        return False


def spoil(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """What was done, and what came of it; something is always another."""
    for _ in range(20):
        mutation = rng.choice(TEXT if is_text(data) else BINARY)
        spoiled = mutation(data, rng)
        if rng.random() < 0.2 and spoiled:
            spoiled = rng.choice(BINARY)(spoiled, rng)
        if spoiled != data:
            return mutation.__name__, spoiled
    return "grown", data + b"\0"
