"""Takes known secrets out of texts, in the forms in which they travel."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote, quote_plus

from engine.errors import NodeError

MASK = "[redacted]"
_SHORTEST = 4


class Redaction:
    """Knows secrets and their base64 and URL forms; very short ones are left alone, for they would mangle all text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def data(self, value: Any) -> Any:
        """The same for every text of JSON data, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.data(member) for key, member in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.data(item) for item in cast("list[Any]", value)]
        return value

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
