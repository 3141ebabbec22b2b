"""Whether scripts can be isolated on this machine; where not, why."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from engine.activities.clients.isolated_python import IsolatedPython
from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.scripting.ports import ScriptRequest


@cache
def reason_against() -> str:
    """Why there is no isolation here; empty if there is."""
    request = ScriptRequest(code="1", input=None, timeout_s=5, memory_bytes=64_000_000)
    try:
        asyncio.run(IsolatedPython().run(request))
    except NodeError as error:
        if error.code == INVALID_CONFIG:
            return error.message
    return ""


def skip_without_isolation() -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "isolated")
