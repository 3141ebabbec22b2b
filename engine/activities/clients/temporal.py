"""The way to Temporal: one client, with our JSON converter and large payloads kept in the object store."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, Self, cast

import orjson
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    SerializationContext,
)
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.errors import SystemFault
from models.tenancy import mint_tenant

OFFLOAD_BYTES = 128 * 1024


async def connect(address: str, namespace: str, objects: ObjectStore) -> Client:
    """Connect to the Temporal frontend at `host:port`. Raises: SystemFault if it does not answer."""
    try:
        return await Client.connect(address, namespace=namespace, data_converter=data_converter(objects))
    except (RPCError, RuntimeError) as error:
        raise SystemFault(f"Temporal at {address} did not answer: {error}") from None


def data_converter(objects: ObjectStore) -> DataConverter:
    """Converter of every client and worker; messages over 128 KB are objects of the tenant they belong to."""
    return DataConverter(payload_converter_class=converter_class(objects))


class JsonConverter(EncodingPayloadConverter):
    """`json/plain` by orjson. Messages are flat dataclasses, so their fields are not converted further.

    The payload of a message over 128 KB becomes an object of the tenant that the message names, and holds its SHA-256.
    That is done here, and not in a codec or by the SDK's external storage, because either makes the SDK visit every
    payload of every task: it took a tenth of a worker's time. Objects never change, so a replay reads the same.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._fallback = JSONPlainPayloadConverter()

    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        try:
            data = orjson.dumps(value)
        except TypeError:
            return self._fallback.to_payload(value)
        if len(data) > OFFLOAD_BYTES and isinstance(meta := getattr(value, "meta", None), dict):
            return self._offloaded(data, str(cast("dict[str, Any]", meta)["tenant"]))
        return Payload(metadata={"encoding": b"json/plain"}, data=data)

    def _offloaded(self, data: bytes, tenant: str) -> Payload:
        sha256 = self._objects.put_at_once(mint_tenant(tenant), data)
        return Payload(metadata={"encoding": b"json/plain", "object-of": tenant.encode()}, data=sha256.encode())

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        raw, tenant = payload.data, payload.metadata.get("object-of")
        if tenant is not None:
            raw = self._objects.get_at_once(mint_tenant(tenant.decode()), raw.decode())
        data = orjson.loads(raw)
        names = _field_names(type_hint) if type_hint is not None and isinstance(data, dict) else None
        if type_hint is None or names is None:
            return data
        return type_hint(**{name: value for name, value in data.items() if name in names})


@cache
def _field_names(message: type) -> frozenset[str] | None:
    """Fields of a message; None for what is no dataclass. Unknown fields come from newer code and are left out."""
    if not dataclasses.is_dataclass(message):
        return None
    return frozenset(field.name for field in dataclasses.fields(message))


def converter_class(objects: ObjectStore) -> type[CompositePayloadConverter]:
    """The default converters, with ours for JSON. The SDK makes one for every activity, so they share their parts."""
    parts = {
        one.encoding.encode(): JsonConverter(objects) if one.encoding == "json/plain" else one
        for one in DefaultPayloadConverter.default_encoding_payload_converters
    }

    class PayloadConverter(CompositePayloadConverter):
        def __init__(self) -> None:
            self.converters = parts

        def with_context(self, context: SerializationContext) -> Self:
            return self  # none of the parts takes a context

    return PayloadConverter
