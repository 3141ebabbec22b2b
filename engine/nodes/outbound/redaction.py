"""Takes known secrets out of texts, in the forms in which they travel."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote, quote_plus

from engine.errors import NodeError

MASK = "[redacted]"
_SHORTEST = 4
_SHORTEST_INSIDE = 8  # of secrets that are looked for within base64 text, where few letters may stand by chance


class Redaction:
    """Knows secrets and their base64 and URL forms; very short ones are left alone, for they would mangle all text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

        self._needles = [json_form(form) for form in self._forms]

    def is_in(self, json_text: bytes) -> bool:
        """Whether a secret is anywhere in JSON text."""
        return any(needle in json_text for needle in self._needles)

    def text(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def data(self, value: Any) -> Any:
        """The same for every text of JSON data, keys included, and for bytes in their form `{"base64": ...}`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict) and value.keys() == {"base64"}:  # pyright: ignore[reportUnknownMemberType]
            return {"base64": self._bytes(cast("dict[str, Any]", value)["base64"])}
        if isinstance(value, dict):
            return {self.text(key): self.data(member) for key, member in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.data(item) for item in cast("list[Any]", value)]
        return value

    def _bytes(self, encoded: Any) -> Any:
        try:
            content = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError):
            return self.data(encoded)
        clean = content
        for form in self._forms:
            clean = clean.replace(form.encode(), MASK.encode())
        return encoded if clean == content else base64.b64encode(clean).decode()

    def error(self, error: NodeError) -> NodeError:
        """The same error with no secret in its message and details."""
        return NodeError(
            self.text(error.message),
            code=error.code,
            details=self.data(error.details),
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
        )


def _forms(secret: str) -> Iterable[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    yield from (secret, quote(secret, safe=""), quote_plus(secret), encoded, encoded.rstrip("="))
    yield from (json.dumps(secret)[1:-1], json_form(secret).decode("utf-8", "replace"))
    if len(secret) >= _SHORTEST_INSIDE:
        yield from (_inside_base64(secret.encode(), offset) for offset in range(3))


def json_form(text: str) -> bytes:
    """The text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")


def _inside_base64(secret: bytes, offset: int) -> str:
    """The letters that the secret alone decides when base64 covers it with `offset` (modulo 3) bytes before it.

    This is how a user name and a password travel, and how a token shows in an encoded body.
    """
    encoded = base64.b64encode(b"\0" * offset + secret).decode()
    return encoded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
