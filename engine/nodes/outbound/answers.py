"""What an HTTP answer means: its body as data, and whether its status is a success or worth another attempt."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from engine.errors import EXTERNAL_ERROR, RATE_LIMITED, NodeError
from engine.nodes.binary import wrap_bytes
from engine.nodes.json_text import parse_json
from engine.nodes.ports import HttpResponse

ResponseType = Literal["auto", "json", "text", "bytes"]
_RULE = re.compile(r"(?P<hundreds>[1-5])xx|(?P<first>[1-5]\d\d)(?:\s*-\s*(?P<last>[1-5]\d\d))?", re.IGNORECASE)
_RETRYABLE = (408, 425, 429)
_TEXT_TYPES = ("application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml")
_LONGEST_WAIT_S = 86_400.0
_SHOWN_BODY_CHARS = 2000


def status_ranges(rules: Sequence[str | int]) -> list[range]:
    """`"2xx"`, `404`, `"200-299"` and `"2xx,404"` as ranges.

    Raises: ValueError naming a rule that is none of these.
    """
    texts = [part.strip() for rule in rules for part in str(rule).split(",")]
    return [_range(text) for text in texts]


def _range(text: str) -> range:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:20]!r} is no rule for a status: write 2xx, 404 or 200-299")
    if match["hundreds"]:
        return range(int(match["hundreds"]) * 100, int(match["hundreds"]) * 100 + 100)
    first = int(match["first"])
    return range(first, int(match["last"] or first) + 1)


def decode_body(response: HttpResponse, response_type: ResponseType) -> Any:
    """The body as data: JSON, text, or `{"base64": ...}`; an empty one is null (empty text for `text`).

    `auto` goes by the content type, and takes JSON that is none for text.

    Raises: NodeError EXTERNAL_ERROR if `json` was asked for and did not come.
    """
    kind, charset = _content_type(response.headers.get("content-type", ""))
    if response_type == "bytes":
        return wrap_bytes(response.content)
    if response_type == "text":
        return _text(response.content, charset)
    if not response.content:
        return None
    if response_type == "json":
        return _json(response)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return parse_json(response.content)
        except ValueError:
            return _text(response.content, charset)
    if kind.startswith("text/") or kind.endswith("+xml") or kind in _TEXT_TYPES:
        return _text(response.content, charset)
    return wrap_bytes(response.content)


def _json(response: HttpResponse) -> Any:
    try:
        return parse_json(response.content)
    except ValueError as error:
        raise NodeError(
            f"the answer (status {response.status}) is {error}",
            code=EXTERNAL_ERROR,
            details={"status": response.status},
        ) from None


def _content_type(header: str) -> tuple[str, str | None]:
    message = Message()
    message["content-type"] = header.replace("\r", "").replace("\n", "")
    return (message.get_content_type() if header else ""), message.get_content_charset()


def _text(content: bytes, charset: str | None) -> str:
    try:
        return content.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", errors="replace")


def failure_of(response: HttpResponse, method: str) -> NodeError:
    """The error of an answer whose status is no success. The status and the beginning of the body go into details."""
    retryable = response.status in _RETRYABLE or response.status >= 500
    return NodeError(
        f"{method} {response.url} answered {response.status}{_advice(response.status)}",
        code=RATE_LIMITED if response.status == 429 else EXTERNAL_ERROR,
        details={
            "status": response.status,
            "url": response.url,
            "body": _text(response.content[: _SHOWN_BODY_CHARS * 4], None)[:_SHOWN_BODY_CHARS],
        },
        retryable=retryable,
        retry_after_s=retry_after_s(response.headers.get("retry-after", ""), datetime.now(UTC)) if retryable else None,
    )


def _advice(status: int) -> str:
    if status in (401, 403):
        return ": check the node's credential"
    if 300 <= status < 400:
        return ": follow redirects, or name the status in success_codes"
    return ""


def retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), at most a day; None if it says nothing.

    Source: RFC 9110, 10.2.3.
    """
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), _LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait_s = (moment - now).total_seconds()
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S) if math.isfinite(wait_s) else None
