"""What the server is told to answer, and what it remembers of a call."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Streamed, the text comes in `pieces` parts.

    `status` over 299 is a refusal with `text` as its reason and `code` as its machine-readable one. `raw` replaces the
    body, `cut` breaks the connection in the middle of it, `delay_s` comes before anything is sent. Token counts of None
    are left out.
    """

    text: str = "ok"
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish: str = "stop"  # stop, length, content_filter
    refusal: str = ""
    input_tokens: int | None = 7
    output_tokens: int | None = 3
    pieces: int = 3
    status: int = 200
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_info: str = ""  # Gemini's way of naming a wait, such as 12s
    raw: bytes | None = None
    cut: bool = False
    delay_s: float = 0.0
    pictures: tuple[bytes, ...] = (PNG,)

    def parts(self) -> list[str]:
        """The text in its pieces."""
        size = max(1, -(-len(self.text) // max(1, self.pieces)))
        return [self.text[at : at + size] for at in range(0, len(self.text), size)]


@dataclass(frozen=True, slots=True)
class Received:
    """One call as it came in. `headers` are lower case."""

    protocol: str
    path: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    streamed: bool = False


def text(answer: str, **more: Any) -> Answer:
    return Answer(text=answer, **more)


def tool_call(name: str, arguments: Any, **more: Any) -> Answer:
    """A call of one tool; `arguments` that are text are sent as they are, be they JSON or not."""
    return Answer(text="", tool_calls=({"name": name, "arguments": arguments},), **more)


def refused(
    status: int,
    reason: str = "no",
    *,
    retry_after: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    waits = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(text=reason, status=status, headers={**(headers or {}), **waits}, **more)


def garbled(body: bytes = b'{"choices": [{"mess') -> Answer:
    """An answer that is no JSON at all (not: an answer whose text is none)."""
    return Answer(raw=body)


def dropped() -> Answer:
    return Answer(cut=True)


def slow(delay_s: float, answer: str = "ok") -> Answer:
    return Answer(text=answer, delay_s=delay_s)


def pictures(*data: bytes, **more: Any) -> Answer:
    return Answer(pictures=data, **more)


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """A vector that tells texts apart: its length, and its first characters' code points."""
    vector = [float(len(text)), *(float(ord(character)) for character in text[:7].ljust(7))]
    return vector[: dimensions or 8]
