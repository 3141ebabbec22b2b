"""Bytes as JSON data carry them: `{"base64": "..."}`."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast


def wrap_bytes(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode("ascii")}


def unwrap_bytes(value: Any) -> bytes:
    """The bytes of `{"base64": ...}`, or of text in UTF-8.

    Raises: ValueError.
    """
    if isinstance(value, str):
        return value.encode()
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    text = members.get("base64")
    if set(members) != {"base64"} or not isinstance(text, str):
        raise ValueError('bytes are written as {"base64": "..."} or as text')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the text under base64 is not valid base64") from None
