"""Checks of URLs and headers before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx2

from engine.errors import INVALID_CONFIG, NodeError

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\x00]")
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "expect"}
)
LONGEST_URL = 16_384


def parse_url(text: str) -> httpx2.URL:
    """An absolute http(s) URL without user information and fragment.

    Raises: NodeError INVALID_CONFIG.
    """
    if len(text) > LONGEST_URL:
        raise _invalid("the URL is longer than 16 KiB")
    if any(character <= " " or character == "\x7f" for character in text) or "\\" in text:
        raise _invalid("the URL holds a space, a control character or a backslash: encode it")
    try:
        url = httpx2.URL(text)
        host = url.host
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise _invalid(f"the URL is not valid: {error}") from None
    if url.scheme not in ("http", "https"):
        raise _invalid(f"the URL must begin with http:// or https:// and has {url.scheme or 'no scheme'}")
    if not host:
        raise _invalid("the URL names no host")
    if url.userinfo:
        raise _invalid("the URL holds a user name or a password: use a credential of type basic")
    return url.copy_with(fragment=None)


def with_query(url: httpx2.URL, query: Sequence[tuple[str, str]]) -> httpx2.URL:
    """The URL with parameters added behind its own, which stay as they are written."""
    if not query:
        return url
    added = urlencode(query).encode("ascii")
    return url.copy_with(query=url.query + b"&" + added if url.query else added)


def check_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers as they may be sent.

    Raises: NodeError INVALID_CONFIG for a name or value that could begin another header, or one that the client sets.
    """
    checked: list[tuple[str, str]] = []
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            raise _invalid(f"{name[:60]!r} is no header name")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise _invalid(f"the header {name} is set by the client: leave it out")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise _invalid(f"the value of the header {name} holds a line break")
        if not _is_latin(value):
            raise _invalid(f"the value of the header {name} holds characters that a header cannot carry: encode it")
        checked.append((name, value.strip(" \t")))
    return checked


def check_given_headers(headers: Mapping[str, Any]) -> None:
    """Headers as parameters give them, where those that are no text are some other rule's business.

    Raises: NodeError as `check_headers` does.
    """
    check_headers((name, value if isinstance(value, str) else "") for name, value in headers.items())


def _is_latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def same_origin(left: httpx2.URL, right: httpx2.URL) -> bool:
    """Whether secrets for one may go to the other: one scheme, host and port, or the same host's step up to https."""
    if _origin(left) == _origin(right):
        return True
    upgrade = left.scheme == "http" and right.scheme == "https" and left.host == right.host
    return upgrade and _origin(left)[2] == 80 and _origin(right)[2] == 443


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _invalid(message: str) -> NodeError:
    return NodeError(message, code=INVALID_CONFIG)
