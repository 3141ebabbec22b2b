"""How a workflow document travels: a mapping in a JSON envelope, text as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from structforge.client.unset import given


def document_body(members: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a Call. Text alone is sent as YAML, so that issues name its lines; with more, in the envelope."""
    sent = given(members)
    document = sent.get("document")
    if isinstance(document, str) and len(sent) == 1:
        return file_body(document)
    return {"body": sent}


def file_body(file: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a Call: text goes as YAML, of which JSON is enough to be read the same way; bytes are a zip."""
    if isinstance(file, str):
        return {"raw": ("application/yaml", file.encode())}
    return {"raw": ("application/zip", file)} if isinstance(file, bytes) else {"body": file}
