"""Check digits of the numbers under barcodes. Source: GS1 General Specifications, section 7.9."""

from __future__ import annotations

LENGTHS = (8, 12, 13, 14)


def digits_of(text: str) -> str:
    """The digits of a number as people write it, without spaces and hyphens."""
    return "".join(char for char in text if char not in " -")


def check_digit(digits: str) -> int:
    """The digit that follows `digits`: from the right they count 3, 1, 3, ...; the sum is filled up to a ten."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return -total % 10


def is_valid(digits: str) -> bool:
    """Whether `digits` are a whole number of a known length with the right last digit."""
    return (
        digits.isascii() and digits.isdigit() and len(digits) in LENGTHS and check_digit(digits[:-1]) == int(digits[-1])
    )
