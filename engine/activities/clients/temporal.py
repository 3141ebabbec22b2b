"""The way to Temporal: one client, with our JSON converter and large payloads kept in the object store."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import orjson
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    ExternalStorage,
    JSONPlainPayloadConverter,
    SerializationContext,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.errors import SystemFault
from models.tenancy import TenantId, mint_tenant

OFFLOAD_BYTES = 128 * 1024
_TENANT = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):", re.ASCII)


async def connect(address: str, namespace: str, objects: ObjectStore) -> Client:
    """Connect to the Temporal frontend at `host:port`. Raises: SystemFault if it does not answer."""
    try:
        return await Client.connect(address, namespace=namespace, data_converter=data_converter(objects))
    except (RPCError, RuntimeError) as error:
        raise SystemFault(f"Temporal at {address} did not answer: {error}") from None


def data_converter(objects: ObjectStore) -> DataConverter:
    """Converter of every client and worker; payloads over 128 KB are objects of the tenant they belong to."""
    storage = ExternalStorage(drivers=[PayloadObjects(objects)], payload_size_threshold=OFFLOAD_BYTES)
    return DataConverter(payload_converter_class=PayloadConverter, external_storage=storage)


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
        return Payload(metadata={"encoding": b"json/plain"}, data=data)

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


class PayloadObjects(StorageDriver):
    """Keeps large payloads in the object store, under the tenant that the Temporal workflow's id names."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def name(self) -> str:
        return "structforge-objects"

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        tenant = _tenant_of(context)
        claims: list[StorageDriverClaim] = []
        for payload in payloads:
            sha256 = await self._objects.put(tenant, payload.SerializeToString())
            claims.append(StorageDriverClaim({"tenant": str(tenant), "sha256": sha256}))
        return claims

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        payloads: list[Payload] = []
        for claim in claims:
            tenant = mint_tenant(claim.claim_data["tenant"])
            data = await self._objects.get(tenant, claim.claim_data["sha256"])
            payloads.append(Payload.FromString(data))
        return payloads


def _tenant_of(context: StorageDriverStoreContext) -> TenantId:
    target = context.target
    match = _TENANT.match(getattr(target, "id", None) or "")
    if match is None:
        raise SystemFault("a large payload belongs to no tenant: its Temporal workflow id names none")
    return mint_tenant(match.group(1))
