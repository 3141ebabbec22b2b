"""Hostile texts as data: one a line, `#` and a space begin a comment. `.jsonl` holds what a line of text cannot."""

from __future__ import annotations

import json
from pathlib import Path

_FOLDER = Path(__file__).parent


def texts(name: str) -> list[str]:
    """The payloads of a file, in its order. Raises: ValueError if one stands there twice."""
    lines = (_FOLDER / name).read_text(encoding="utf-8").split("\n")
    if name.endswith(".jsonl"):
        found = [json.loads(line) for line in lines if line]
    else:
        found = [line for line in lines if line and not line.startswith("# ")]
    doubled = {text for text in found if found.count(text) > 1}
    if doubled:
        raise ValueError(f"{name} holds these twice: {doubled}")
    return found
