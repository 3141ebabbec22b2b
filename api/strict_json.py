"""JSON bodies are read as documents are: a key that stands twice, a NaN or bottomless nesting is an error, not a guess.

FastAPI parses a body leniently before it validates it. This looks at the same bytes once more, after the caller is
known and before the body is validated.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from fastapi import Request
from starlette.exceptions import HTTPException

from engine.dag.json_tree import check_tree, too_deep
from engine.dag.limits import MAX_TREE_DEPTH
from engine.errors import Issue, ValidationFailed

_THREAD_BYTES = 65_536  # a body of this size is looked at off the event loop


async def check_json_body(request: Request) -> None:
    """Refuse a body that is no plain JSON. Routes that read their body themselves check it themselves.

    Raises: HTTPException 415; ValidationFailed with every issue, its path beginning with `body`.
    """
    if getattr(request.scope.get("route"), "body_field", None) is None:
        return
    raw = await request.body()
    if not raw:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise HTTPException(415, "send application/json")
    issues = await asyncio.to_thread(faults, raw) if len(raw) > _THREAD_BYTES else faults(raw)
    if issues:
        raise ValidationFailed(issues, "the request is not valid")


def faults(raw: bytes) -> list[Issue]:
    """What is wrong with the bytes of a JSON text that a lenient parser has taken."""
    repeated: list[str] = []

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated.append(next(key for key in members if keys.count(key) > 1))
        return members

    try:
        tree = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=gather, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return [Issue("INVALID_TEXT", "body", "the body is no UTF-8 text", "send it as UTF-8")]
    except RecursionError:
        return [too_deep("body", MAX_TREE_DEPTH)]
    except ValueError as error:
        return [Issue("INVALID_NUMBER" if "constant" in str(error) else "INVALID_VALUE", "body", str(error))]
    if repeated:
        message = f"the key {repeated[0][:60]!r} stands twice in one object"
        return [Issue("DUPLICATE_KEY", "body", message, "remove one of the two")]
    return check_tree(tree, "body")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the constant {name} is no JSON")
