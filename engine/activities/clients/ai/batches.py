"""Texts of an embedding in as many calls as a provider's limits ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

MOST_BATCH_CHARS = 400_000


def batches(texts: Sequence[str], most_texts: int, most_chars: int = MOST_BATCH_CHARS) -> Iterator[list[str]]:
    """The texts in order, each batch within both limits; a text over `most_chars` stands alone."""
    batch: list[str] = []
    chars = 0
    for text in texts:
        if batch and (len(batch) == most_texts or chars + len(text) > most_chars):
            yield batch
            batch, chars = [], 0
        batch.append(text)
        chars += len(text)
    if batch:
        yield batch


def vector_of(value: Any) -> list[float]:
    """A vector out of an answer.

    Raises: ValueError if it is none.
    """
    numbers = cast("list[Any]", value) if isinstance(value, list) else []
    if not numbers or not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("an embedding is no list of numbers")
    return [float(number) for number in numbers]
