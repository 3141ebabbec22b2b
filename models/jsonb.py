"""JSON columns: orjson on the way in and out, for every document that PostgreSQL would refuse too.

PostgreSQL's jsonb cannot hold the character U+0000, and orjson refuses lone surrogates. Neither may cost a row: a
document with U+0000 is stored as `{"$base64": <its JSON>}` and comes back unchanged; a lone surrogate, which is no
text at all, becomes U+FFFD.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, cast

import orjson

WRAPPED = "$base64"
_BINARY_VERSION = b"\x01"  # the first byte of jsonb's binary wire form
_WRAPPED_PREFIX = b'\x01{"$base64":'


def encode_jsonb(value: Any) -> bytes:
    """JSON data as jsonb's wire form; see the module about what PostgreSQL cannot hold.

    Raises: TypeError if the value is no JSON data.
    """
    try:
        raw = orjson.dumps(value)
    except (TypeError, UnicodeEncodeError):
        raw = orjson.dumps(_replace_surrogates(value))
    # A document that looks wrapped is wrapped, so that reading never mistakes it.
    if b"\\u0000" in raw or raw.startswith(_WRAPPED_PREFIX[1:]):
        raw = b'{"$base64":"' + b64encode(raw) + b'"}'
    return _BINARY_VERSION + raw


def decode_jsonb(wire: bytes) -> Any:
    """What `encode_jsonb` was given."""
    value = orjson.loads(memoryview(wire)[1:])
    if wire.startswith(_WRAPPED_PREFIX):
        return orjson.loads(b64decode(value[WRAPPED]))
    return value


def encode_json(value: Any) -> bytes:
    """JSON data as json's wire form, which keeps the order of keys."""
    return encode_jsonb(value)[1:]


def decode_json(wire: bytes) -> Any:
    """What `encode_json` was given."""
    return decode_jsonb(_BINARY_VERSION + bytes(wire))


def plain_text(text: str | None) -> str | None:
    """Text without the characters that a text column cannot hold."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {_replace_surrogates(key): _replace_surrogates(member) for key, member in members.items()}
    if isinstance(value, list | tuple):
        return [_replace_surrogates(item) for item in cast("list[Any]", value)]
    return value
