"""Conditional requests: what a client has already is not sent again (RFC 9110, section 13)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Response

IfNoneMatch = Annotated[str | None, Header(description="ETags of what the client has; 304 if one is current")]
_FRESH = "private, no-cache"  # may be kept, and is asked about each time: rights and contents change


def has_already(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's list of ETags names this one; compared weakly, as the RFC asks for here."""
    if if_none_match is None:
        return False
    given = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in given or etag.removeprefix("W/") in given


def not_modified(etag: str) -> Response:
    """The answer to a client that has it already."""
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _FRESH})


def tag(response: Response, etag: str) -> None:
    """Say which state the response shows."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = _FRESH
