"""Values of the record as data in replies, large ones left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from api.resources import Resources
from engine.dag.values import Value
from engine.errors import NotFound
from models.tenancy import TenantId

SHOWN_BYTES = 256 * 1024  # of one value, unless the caller asks for all of it
PAGE_BYTES = 64 * 1024 * 1024  # of all values in one reply


@dataclass(slots=True)
class Allowance:
    """How much data a reply may still hold."""

    value_bytes: int
    reply_bytes: int

    @classmethod
    def of(cls, *, full: bool) -> Allowance:
        return cls(PAGE_BYTES if full else SHOWN_BYTES, PAGE_BYTES)

    def take(self, size: int) -> bool:
        """Whether a value of this size goes into the reply; if so, it is counted."""
        if size > self.value_bytes or size > self.reply_bytes:
            return False
        self.reply_bytes -= size
        return True


async def shown_data(
    resources: Resources, tenant: TenantId, name: str, value: Value | None, allowance: Allowance
) -> dict[str, Any]:
    """The members `name`, `name_bytes` and `name_omitted` of a reply.

    An object that retention has removed is omitted too. Raises: SystemFault if the object store does not answer.
    """
    if value is None:
        return {name: None, f"{name}_bytes": 0, f"{name}_omitted": False}
    size = data_bytes(value)
    if allowance.take(size):
        try:
            data = await resources.values.load(tenant, value)
        except NotFound:
            return {name: None, f"{name}_bytes": size, f"{name}_omitted": True}
        return {name: data, f"{name}_bytes": size, f"{name}_omitted": False}
    return {name: None, f"{name}_bytes": size, f"{name}_omitted": True}


def data_bytes(value: Value) -> int:
    """Bytes of the JSON that a value stands for, stored parts included; an element counts as its whole list."""
    if "n" in value:
        return value["n"]
    for form in ("l", "c"):
        if form in value:
            return 2 + sum(data_bytes(item) + 1 for item in value[form])
    if "e" in value:
        return data_bytes(value["e"][0])
    return 2 + sum(data_bytes(item) + len(json.dumps(key)) + 2 for key, item in value["o"].items())
