"""Documents in requests: read, checked, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from api.resources import Resources
from engine.dag.document import parse_spec, read_document
from engine.dag.spec import WorkflowSpec
from engine.dag.validate import validate
from engine.errors import Issue, ValidationFailed

Body = TypeVar("Body", bound=BaseModel)
JSON_TYPES = ("application/json", "")
TEXT_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
_ENVELOPE_BYTES = 65_536
_THREAD_BYTES = 65_536  # a body of this size is read and checked off the event loop


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """A document without errors, with the warnings that it gave; of a draft, with its errors too."""

    raw: dict[str, Any]
    spec: WorkflowSpec
    warnings: list[Issue]

    @property
    def is_valid(self) -> bool:
        return all(issue.severity != "error" for issue in self.warnings)


async def read_body(request: Request, model: type[Body], max_bytes: int) -> Body:
    """A JSON body with a document in it, or the document itself as YAML or JSON text.

    JSON is read as documents are: a key that stands twice or a NaN is an error.
    Raises: ValidationFailed, RequestValidationError; HTTPException 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*JSON_TYPES, *TEXT_TYPES):
        raise HTTPException(415, f"send application/json, or a document as {TEXT_TYPES[0]}")
    raw = await request.body()
    name = "body.json" if kind in JSON_TYPES else "body"
    tree = await _off_loop(len(raw), lambda: read_document(raw, name=name, max_bytes=max_bytes))
    if kind in TEXT_TYPES or ("document" not in tree and "nodes" in tree):
        tree = {"document": tree}
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        located = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(located) from None


def envelope_bytes(resources: Resources) -> int:
    """The largest body that holds nothing but a document."""
    return resources.settings.limits.max_document_bytes + _ENVELOPE_BYTES


async def check_document(
    resources: Resources, document: Mapping[str, Any] | str, *, draft: bool = False
) -> CheckedDocument:
    """Parse and validate a document. A draft need only have the shape of one.

    Raises: ValidationFailed with every issue if one is an error.
    """
    limit = resources.settings.limits.max_document_bytes
    text = document.encode() if isinstance(document, str) else await asyncio.to_thread(orjson.dumps, document)

    def check() -> CheckedDocument:
        raw = read_document(text, name="document", max_bytes=limit) if isinstance(document, str) else document
        _check_size(len(text), limit)
        spec = parse_spec(raw)
        issues = validate(spec, resources.catalogue, resources.parser, resources.limits)
        checked = CheckedDocument(cast("dict[str, Any]", raw), spec, issues)
        if not (draft or checked.is_valid):
            raise ValidationFailed(issues)
        return checked

    return await _off_loop(len(text), check)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        message = f"the document has {size:,} bytes, the limit is {limit:,}"
        raise ValidationFailed([Issue("DOCUMENT_TOO_LARGE", "", message, "split the workflow")])


Result = TypeVar("Result")


async def _off_loop(size: int, work: Any) -> Any:
    return await asyncio.to_thread(work) if size > _THREAD_BYTES else work()
