"""Pictures in messages and answers: what they are by their first bytes, and how a document writes them."""

from __future__ import annotations

import base64
from typing import Any

from engine.nodes.generation.port import Picture

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


def picture_of(data: bytes) -> Picture:
    """A picture with the content type that its first bytes say.

    Raises: ValueError if they are those of no kind of picture that models read.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture(data, "image/webp")
    for signature, content_type in _SIGNATURES:
        if data.startswith(signature):
            return Picture(data, content_type)
    raise ValueError("these bytes are no PNG, JPEG, WebP, GIF or BMP picture")


def as_output(picture: Picture) -> dict[str, Any]:
    """A picture as outputs carry it: `{base64, content_type}`."""
    return {"base64": as_base64(picture), "content_type": picture.content_type}


def as_base64(picture: Picture) -> str:
    return base64.b64encode(picture.data).decode("ascii")


def as_data_url(picture: Picture) -> str:
    return f"data:{picture.content_type};base64,{as_base64(picture)}"
