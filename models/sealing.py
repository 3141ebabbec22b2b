"""Sealed secrets: each under a data key of its own, which is wrapped by a key-encryption key that has an id.

Both layers are AES-256-GCM. What the secret belongs to (its `Binding`) is authenticated with it, so that a ciphertext
that was moved to another tenant, credential, version, type or set of hosts does not open.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.errors import ConfigurationError, StructForgeError

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORM = "structforge-secret-1"  # of the authenticated data; a change of it is a new form


class SealBroken(StructForgeError):
    """The ciphertext, or what it claims to belong to, is not what was sealed."""

    code = "CREDENTIAL_UNREADABLE"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a sealed secret belongs to."""

    tenant_id: UUID
    credential_id: UUID
    version: int
    type: str
    allowed_hosts: tuple[str, ...]

    def secret_data(self) -> bytes:
        """Authenticated with the secret."""
        facts = ["secret", *self._owner(), self.version, self.type, list(self.allowed_hosts)]
        return orjson.dumps([_FORM, *facts])

    def key_data(self, key_id: str) -> bytes:
        """Authenticated with the wrapped data key."""
        return orjson.dumps([_FORM, "key", *self._owner(), self.version, key_id])

    def _owner(self) -> list[str]:
        return [str(self.tenant_id), str(self.credential_id)]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret at rest: `wrapped_key` and `ciphertext` each begin with their nonce of 12 bytes."""

    key_id: str
    wrapped_key: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Key-encryption keys of 32 bytes by their ids. All open; `active` seals.

    Raises: ConfigurationError if a key has another length or there is no active one.
    """

    active: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            raise ConfigurationError(f"there is no encryption key {self.active!r}, which should be the active one")
        wrong = [name for name, key in self.keys.items() if len(key) != KEY_BYTES]
        if wrong:
            raise ConfigurationError(f"encryption keys must have {KEY_BYTES} bytes: {', '.join(wrong)}")

    def seal(self, secret: Mapping[str, Any], binding: Binding) -> Sealed:
        """Encrypt a secret under a fresh data key."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        ciphertext = _encrypt(data_key, orjson.dumps(dict(secret)), binding.secret_data())
        return self._wrapped(data_key, ciphertext, binding)

    def open(self, sealed: Sealed, binding: Binding) -> dict[str, Any]:
        """The secret.

        Raises: SealBroken if anything of it or of its binding was changed, or its key is not here.
        """
        data_key = self._unwrapped(sealed, binding)
        return cast("dict[str, Any]", orjson.loads(_decrypt(data_key, sealed.ciphertext, binding.secret_data())))

    def rewrap(self, sealed: Sealed, binding: Binding) -> Sealed:
        """The same secret, its data key wrapped by the active key; the secret itself is not decrypted.

        Raises: SealBroken.
        """
        return self._wrapped(self._unwrapped(sealed, binding), sealed.ciphertext, binding)

    def with_new_key(self, name: str) -> Keyring:
        """The ring with one more key, which is the active one."""
        if name in self.keys:
            raise ConfigurationError(f"there is an encryption key {name!r} already")
        return Keyring(name, {**self.keys, name: secrets.token_bytes(KEY_BYTES)})

    def _wrapped(self, data_key: bytes, ciphertext: bytes, binding: Binding) -> Sealed:
        wrapped = _encrypt(self.keys[self.active], data_key, binding.key_data(self.active))
        return Sealed(self.active, wrapped, ciphertext)

    def _unwrapped(self, sealed: Sealed, binding: Binding) -> bytes:
        key = self.keys.get(sealed.key_id)
        if key is None:
            message = f"the encryption key {sealed.key_id!r} of a credential is not among those of this process"
            raise SealBroken(message, details={"key_id": sealed.key_id})
        return _decrypt(key, sealed.wrapped_key, binding.key_data(sealed.key_id))


def _encrypt(key: bytes, data: bytes, authenticated: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, authenticated)


def _decrypt(key: bytes, data: bytes, authenticated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], authenticated)
    except (InvalidTag, ValueError):
        raise SealBroken("the stored credential is not what was sealed: it was changed or moved") from None
