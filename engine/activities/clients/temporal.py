"""The way to Temporal: one client, with our JSON converter and large payloads kept in the object store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
    PayloadCodec,
    SerializationContext,
)
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.errors import SystemFault
from models.tenancy import mint_tenant

OFFLOAD_BYTES = 128 * 1024
OFFLOADED = b"structforge/object"


async def connect(address: str, namespace: str, objects: ObjectStore) -> Client:
    """Connect to the Temporal frontend at `host:port`. Raises: SystemFault if it does not answer."""
    try:
        return await Client.connect(address, namespace=namespace, data_converter=data_converter(objects))
    except (RPCError, RuntimeError) as error:
        raise SystemFault(f"Temporal at {address} did not answer: {error}") from None


def data_converter(objects: ObjectStore) -> DataConverter:
    """Converter of every client and worker; messages over 128 KB are objects of the tenant they belong to."""
    return DataConverter(payload_converter_class=PayloadConverter, payload_codec=OffloadCodec(objects))


class JsonConverter(EncodingPayloadConverter):
    """`json/plain` by orjson. Messages are flat dataclasses, so their fields are not converted further."""

    def __init__(self) -> None:
        self._fallback = JSONPlainPayloadConverter()

    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        try:
            data = orjson.dumps(value)
        except TypeError:
            return self._fallback.to_payload(value)
        metadata = {"encoding": b"json/plain"}
        if len(data) > OFFLOAD_BYTES and isinstance(meta := getattr(value, "meta", None), dict):
            metadata["tenant"] = str(cast("dict[str, Any]", meta)["tenant"]).encode()
        return Payload(metadata=metadata, data=data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        data = orjson.loads(payload.data)
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


_CONVERTERS = {
    one.encoding.encode(): JsonConverter() if one.encoding == "json/plain" else one
    for one in DefaultPayloadConverter.default_encoding_payload_converters
}


class PayloadConverter(CompositePayloadConverter):
    """The default converters, with ours for JSON. The SDK makes one for every activity, so they share their parts."""

    def __init__(self) -> None:
        self.converters = _CONVERTERS

    def with_context(self, context: SerializationContext) -> Self:
        return self  # none of the parts takes a context


class OffloadCodec(PayloadCodec):
    """Keeps the large payloads of messages in the object store, under the tenant that the message names.

    The SDK's own external storage does the same and copies the converter for every command, which took a tenth of a
    worker's time.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if all(len(payload.data) <= OFFLOAD_BYTES for payload in payloads):
            return list(payloads)
        return [await self._encode(payload) for payload in payloads]

    async def _encode(self, payload: Payload) -> Payload:
        tenant = payload.metadata.get("tenant")
        if tenant is None or len(payload.data) <= OFFLOAD_BYTES:
            return payload
        sha256 = await self._objects.put(mint_tenant(tenant.decode()), payload.data)
        return Payload(metadata={"encoding": OFFLOADED, "tenant": tenant}, data=sha256.encode())

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if all(payload.metadata.get("encoding") != OFFLOADED for payload in payloads):
            return list(payloads)
        return [await self._decode(payload) for payload in payloads]

    async def _decode(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != OFFLOADED:
            return payload
        tenant = mint_tenant(payload.metadata["tenant"].decode())
        data = await self._objects.get(tenant, payload.data.decode())
        return Payload(metadata={"encoding": b"json/plain"}, data=data)
