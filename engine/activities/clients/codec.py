"""Payloads that Temporal keeps without being able to read them: AES-256-GCM under a key of the tenant.

The key is derived (HKDF, SHA-256) from a key of the keyring, the tenant and a salt that each process makes for itself,
so that no process shares a key with another and random nonces stay far from their limit. A sealed payload holds the
whole payload that it was made from:

    metadata: encoding = binary/encrypted, key-id, tenant        data: salt (16) + nonce (12) + ciphertext and tag

Key id and tenant are authenticated. Payloads that are not sealed pass as they are: histories may hold both kinds.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload

from engine.errors import ConfigurationError, StructForgeError
from models.sealing import KEY_BYTES, Keyring

ENCODING = b"binary/encrypted"
KEY_ID = "key-id"
TENANT = "tenant"
NOBODY = ""  # the tenant of what belongs to none
_FORM = "structforge-payload-1"  # of the derived keys and the authenticated data; a change of it is a new form
_SALT_BYTES = 16
_NONCE_BYTES = 12
_HEAD_BYTES = _SALT_BYTES + _NONCE_BYTES
_LOOK_EVERY_S = 1.0  # how soon a process notices that the keys were rotated
_MAX_PAYLOADS_A_SALT = 2**31  # with random nonces, AES-GCM is safe for 2**32 (NIST SP 800-38D, 8.3)
_MAX_TENANTS = 1024


class PayloadUnreadable(StructForgeError):
    """A payload was changed, belongs to another tenant, or was sealed by a key that is not here."""

    code = "PAYLOAD_UNREADABLE"


@dataclass(slots=True)
class _Sealer:
    """Seals for one tenant, under one key and salt."""

    aead: AESGCM
    salt: bytes
    key_id: bytes
    tenant: bytes
    authenticated: bytes
    left: int = _MAX_PAYLOADS_A_SALT

    def seal(self, payload: Payload) -> Payload:
        self.left -= 1
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self.aead.encrypt(nonce, payload.SerializeToString(), self.authenticated)
        return Payload(
            metadata={"encoding": ENCODING, KEY_ID: self.key_id, TENANT: self.tenant}, data=self.salt + nonce + sealed
        )


class PayloadCipher:
    """Seals and opens. `keys` gives the keyring as it is now; without `seals` it only opens."""

    def __init__(self, keys: Callable[[], Keyring], *, seals: bool = True) -> None:
        self.seals = seals
        self._keys = keys
        self._ring: Keyring | None = None
        self._looked_at = float("-inf")
        self._sealers: dict[str, _Sealer] = {}

    def seal(self, payload: Payload, tenant: str) -> Payload:
        """The payload under the newest key. Raises: ConfigurationError if there are no keys."""
        ring, sealer = self._current_ring(), self._sealers.get(tenant)
        if sealer is None or sealer.left <= 0 or sealer.key_id != ring.active.encode():
            sealer = self._new_sealer(ring, tenant)
        return sealer.seal(payload)

    def open(self, payload: Payload, tenant: str | None = None) -> Payload:
        """What was sealed; a payload that is not sealed passes. `tenant`, if it is known, must be the payload's own.

        Raises: PayloadUnreadable.
        """
        metadata = payload.metadata
        if metadata.get("encoding") != ENCODING:
            return payload
        key_id, owner = _text(metadata.get(KEY_ID)), _text(metadata.get(TENANT))
        if tenant is not None and owner not in (tenant, NOBODY):
            raise PayloadUnreadable("a payload belongs to another tenant than the Temporal workflow that holds it")
        data = payload.data
        aead = _derived(self._key(key_id), owner, data[:_SALT_BYTES])
        try:
            opened = aead.decrypt(data[_SALT_BYTES:_HEAD_BYTES], data[_HEAD_BYTES:], _authenticated(key_id, owner))
            return Payload.FromString(opened)
        except (InvalidTag, ValueError, DecodeError):
            message = (
                "a payload is not what was sealed: it was changed or moved, or its key's name is that of another here"
            )
            raise PayloadUnreadable(message) from None

    def _new_sealer(self, ring: Keyring, tenant: str) -> _Sealer:
        if len(self._sealers) >= _MAX_TENANTS:
            self._sealers.clear()
        salt, name = secrets.token_bytes(_SALT_BYTES), ring.active
        aead = _derived(ring.keys[name], tenant, salt)
        made = _Sealer(aead, salt, name.encode(), tenant.encode(), _authenticated(name, tenant))
        self._sealers[tenant] = made
        return made

    def _current_ring(self) -> Keyring:
        now = time.monotonic()
        if self._ring is None or now - self._looked_at > _LOOK_EVERY_S:
            self._ring, self._looked_at = self._keys(), now
        return self._ring

    def _key(self, key_id: str) -> bytes:
        # The key may have been made a moment ago, by a rotation that another process has noticed first.
        for look in (self._current_ring, self._keys):
            try:
                key = look().keys.get(key_id)
            except ConfigurationError as error:
                raise PayloadUnreadable(f"a payload is sealed, and {error.message}") from None
            if key is not None:
                return key
        message = f"the encryption key {key_id!r} of a payload is not among those of this process"
        raise PayloadUnreadable(message, details={"key_id": key_id})


@lru_cache(maxsize=4096)
def _derived(key: bytes, tenant: str, salt: bytes) -> AESGCM:
    info = orjson.dumps([_FORM, tenant])
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key))


@lru_cache(maxsize=4096)
def _authenticated(key_id: str, tenant: str) -> bytes:
    return orjson.dumps([_FORM, key_id, tenant])


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
