"""Packing: a plan as the text in which it travels, and one plan in memory for all executions that carry the same text.

The text stands in the input of every Temporal workflow of a version, so it is short where that pays, and an
interpreter that has read it once does not read it again: a plan never changes.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from typing import Any

from engine.dag.plan import Plan

PLAIN_CHARACTERS = 4096  # up to here the text is plain JSON, which people can read in Temporal's Web UI
_MARK = "zlib:"


def pack_plan(plan: Plan) -> str:
    """The plan as JSON, compressed if that is long."""
    text = json.dumps(plan.to_wire(), separators=(",", ":"), ensure_ascii=False)
    if len(text) <= PLAIN_CHARACTERS:
        return text
    return _MARK + base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def unpack_plan(packed: str | dict[str, Any]) -> Plan:
    """The plan of a text; the same object for the same text, so nobody may change it. Older inputs hold the wire."""
    if isinstance(packed, dict):
        return Plan.from_wire(packed)
    return _large_plan(packed) if packed.startswith(_MARK) else _small_plan(packed)


@lru_cache(maxsize=1024)
def _small_plan(text: str) -> Plan:
    return Plan.from_wire(json.loads(text))


@lru_cache(maxsize=16)  # one of 10,000 nodes takes some 10 MB
def _large_plan(packed: str) -> Plan:
    return Plan.from_wire(json.loads(zlib.decompress(base64.b64decode(packed[len(_MARK) :]))))
