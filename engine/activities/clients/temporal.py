"""The way to Temporal: one client with our JSON converter, sealed payloads, and large ones kept in the object store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self, cast
from uuid import UUID

import orjson
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    SerializationContext,
)
from temporalio.service import RPCError, TLSConfig

from engine.activities.clients.codec import ENCODING, NOBODY, PayloadCipher
from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.tls import temporal_tls
from engine.errors import SystemFault
from engine.settings import Settings
from models.keyring import Keys
from models.tenancy import mint_tenant

OFFLOAD_BYTES = 128 * 1024
# Nothing, and what the SDK itself answers in queries about a Temporal workflow: no data of people is in either.
NEVER_SEALED = frozenset({b"binary/null", b"json/protobuf", b"binary/protobuf"})


@dataclass(frozen=True, slots=True)
class Protection:
    """How the way to Temporal is protected: the cipher of payloads, and TLS. By default it is not."""

    cipher: PayloadCipher | None = None
    tls: TLSConfig | None = None


UNPROTECTED = Protection()


def protection_of(settings: Settings) -> Protection:
    """What the settings say. Sealed payloads are read in any case; new ones are sealed if `codec.encrypt` is set.

    Raises: ConfigurationError if they are to be sealed and there are no keys, or a certificate cannot be used.
    """
    keys, seals = Keys(settings), settings.codec.encrypt
    if seals:
        keys.ring()
    return Protection(PayloadCipher(keys.ring, seals=seals), temporal_tls(settings.temporal))


async def connect(address: str, namespace: str, objects: ObjectStore, protection: Protection = UNPROTECTED) -> Client:
    """Connect to the Temporal frontend at `host:port`. Raises: SystemFault if it does not answer."""
    converter = data_converter(objects, protection.cipher)
    try:
        return await Client.connect(address, namespace=namespace, data_converter=converter, tls=protection.tls or False)
    except (RPCError, RuntimeError) as error:
        raise SystemFault(f"Temporal at {address} did not answer: {error}") from None


def data_converter(objects: ObjectStore, cipher: PayloadCipher | None = None) -> DataConverter:
    """Converter of every client and worker; messages over 128 KB are objects of the tenant they belong to.

    With a cipher that seals, messages and stack traces of failures are sealed too.
    """
    seals = cipher is not None and cipher.seals
    return DataConverter(
        payload_converter_class=converter_class(objects, cipher),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes if seals else DefaultFailureConverter,
    )


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


def converter_class(objects: ObjectStore, cipher: PayloadCipher | None = None) -> type[CompositePayloadConverter]:
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

    return PayloadConverter if cipher is None else _sealing_class(parts, cipher)


def _sealing_class(
    parts: Mapping[bytes, EncodingPayloadConverter], given: PayloadCipher
) -> type[CompositePayloadConverter]:
    """A class of its own for each cipher, because the SDK makes converters without arguments."""

    class SealingConverter(_SealingConverter):
        cipher = given
        bound: ClassVar[dict[str, _SealingConverter]] = {}

        def __init__(self) -> None:
            self.converters = parts

    return SealingConverter


class _SealingConverter(CompositePayloadConverter):
    """Seals what it converts under the tenant of the Temporal workflow in whose context it stands.

    Here and not in a codec, for the reason that `JsonConverter` gives. A bare text is a label (the summary of a
    Temporal workflow or of an activity) and stays readable: it says no more than the search attributes and activity ids
    beside it, and the server bounds its size. No message of ours is a bare text.
    """

    cipher: ClassVar[PayloadCipher]
    bound: ClassVar[dict[str, _SealingConverter]]
    tenant: str | None = None

    def with_context(self, context: SerializationContext) -> Self:
        if not self.cipher.seals:
            return self  # plain payloads are of any tenant; and the SDK copies its converter for each that is bound
        name = (getattr(context, "workflow_id", None) or "").partition(":")[0]
        known = self.bound.get(name)  # before the name is looked at: this is asked nine times an execution
        if known is not None:
            return cast("Self", known)
        return self._bound_to(name) if _is_tenant(name) else type(self)()

    def _bound_to(self, tenant: str) -> Self:
        if len(self.bound) >= _MAX_BOUND:
            self.bound.clear()
        known = self.bound[tenant] = type(self)()
        known.tenant = tenant
        return known

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        payloads = super().to_payloads(values)
        if not self.cipher.seals:
            return payloads
        return [
            payload if _stays_readable(value, payload) else self.cipher.seal(payload, self.tenant or _named_by(value))
            for value, payload in zip(values, payloads, strict=True)
        ]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        return super().from_payloads([self.cipher.open(payload, self.tenant) for payload in payloads], type_hints)


_MAX_BOUND = 1024


def _stays_readable(value: Any, payload: Payload) -> bool:
    encoding = payload.metadata.get("encoding")
    return isinstance(value, str) or encoding == ENCODING or encoding in NEVER_SEALED


def _is_tenant(name: str) -> bool:
    """Whether a Temporal workflow is ours, by what its id begins with: all of ours are called `tenant:...`."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _named_by(value: Any) -> str:
    """The tenant that a message names."""
    meta = getattr(value, "meta", None)
    named = cast("dict[str, Any]", meta).get("tenant") if isinstance(meta, dict) else getattr(value, "tenant", None)
    return str(named) if named else NOBODY
