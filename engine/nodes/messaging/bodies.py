"""Bodies of messages: data of a document to bytes with a content type, and back."""

from __future__ import annotations

from typing import Any, Literal, cast

from engine.nodes.binary import unwrap_bytes, wrap_bytes
from engine.nodes.json_text import dump_json, parse_json

MessageFormat = Literal["auto", "json", "text", "bytes"]
JSON_TYPE, TEXT_TYPE, BYTES_TYPE = "application/json", "text/plain; charset=utf-8", "application/octet-stream"


def encode_message(message: Any, form: MessageFormat) -> tuple[bytes, str]:
    """Bytes and content type. `auto`: text as text, `{"base64": ...}` as bytes, all else as JSON.

    Raises: ValueError if the message has not that form.
    """
    if form == "json" or (form == "auto" and not isinstance(message, str) and not _is_wrapped(message)):
        return dump_json(message), JSON_TYPE
    if form == "text" or (form == "auto" and isinstance(message, str)):
        if not isinstance(message, str):
            raise ValueError("a message of format text must be text")
        return message.encode(), TEXT_TYPE
    return unwrap_bytes(message), BYTES_TYPE


def decode_message(body: bytes, content_type: str | None, form: MessageFormat) -> Any:
    """Data, text, or `{"base64": ...}`. Never fails: what has not the form it claims comes as text, else as bytes.

    A message that made its receiver fail would come back for ever.
    """
    if form == "bytes":
        return wrap_bytes(body)
    kind = (content_type or "").partition(";")[0].strip().lower()
    if form == "json" or (form == "auto" and _may_be_json(kind, body)):
        try:
            return parse_json(body)
        except ValueError:
            pass
    if form == "auto" and kind == BYTES_TYPE:
        return wrap_bytes(body)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return wrap_bytes(body)


def _is_wrapped(message: Any) -> bool:
    return isinstance(message, dict) and set(cast("dict[str, Any]", message)) == {"base64"}


def _may_be_json(kind: str, body: bytes) -> bool:
    """JSON by its content type; without one, an object or a list."""
    return kind == JSON_TYPE or kind.endswith("+json") or (not kind and body.lstrip()[:1] in (b"{", b"["))
