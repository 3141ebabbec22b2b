"""Digests of node execution outcomes: a cheap proof that two sides hold the same set of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

MODULUS = 1 << 63


def row_digest(path: str, iteration: Sequence[int], generation: int, status: str, attempts: int) -> int:
    """63 bits over what identifies one outcome; the same in every process and release."""
    text = f"{path}|{','.join(map(str, iteration))}|{generation}|{status}|{attempts}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def add_digests(digests: Iterable[int]) -> int:
    """Sum modulo 2^63, so that parts (loop shards, continued runs) add up in any order."""
    return sum(digests) % MODULUS
