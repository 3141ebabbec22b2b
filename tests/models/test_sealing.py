"""A sealed secret opens for what it was sealed for, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from engine.errors import ConfigurationError
from models.sealing import Binding, Keyring, SealBroken, Sealed

RING = Keyring("new", {"old": b"o" * 32, "new": b"n" * 32})
SECRET = {"token": "canary-4711", "n": 1}
BINDING = Binding(uuid4(), uuid4(), 3, "bearer", ("api.example.org",))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_secret_opens_for_its_binding() -> None:
    sealed = RING.seal(SECRET, BINDING)
    assert sealed.key_id == "new"
    assert RING.open(sealed, BINDING) == SECRET


def test_neither_the_sealed_form_nor_the_ring_shows_a_secret_or_a_key() -> None:
    sealed = RING.seal(SECRET, BINDING)
    assert b"canary" not in sealed.ciphertext + sealed.wrapped_key
    assert "canary" not in repr(sealed)
    assert "nnnn" not in repr(RING)


def test_equal_secrets_have_different_keys_and_ciphertexts() -> None:
    first, second = RING.seal(SECRET, BINDING), RING.seal(SECRET, BINDING)
    assert first.ciphertext[:12] != second.ciphertext[:12]
    assert first.ciphertext[12:] != second.ciphertext[12:]
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize(
    "other",
    [
        replace(BINDING, tenant_id=UUID(int=1)),
        replace(BINDING, credential_id=UUID(int=1)),
        replace(BINDING, version=4),
        replace(BINDING, type="api_key"),
        replace(BINDING, allowed_hosts=("evil.example.org",)),
        replace(BINDING, allowed_hosts=()),
    ],
)
def test_moved_secret_does_not_open(other: Binding) -> None:
    with pytest.raises(SealBroken) as caught:
        RING.open(RING.seal(SECRET, BINDING), other)
    assert "canary" not in str(caught.value)


def test_parts_of_two_secrets_do_not_open_together() -> None:
    one, two = RING.seal(SECRET, BINDING), RING.seal({"token": "other"}, BINDING)
    with pytest.raises(SealBroken):
        RING.open(Sealed(one.key_id, one.wrapped_key, two.ciphertext), BINDING)


@pytest.mark.parametrize("part", ["ciphertext", "wrapped_key"])
def test_every_changed_byte_breaks_the_seal(part: str) -> None:
    sealed = RING.seal(SECRET, BINDING)
    whole: bytes = getattr(sealed, part)
    for place in range(len(whole)):
        with pytest.raises(SealBroken):
            RING.open(replace(sealed, **{part: flipped(whole, place)}), BINDING)
    for short in (b"", whole[:11], whole[:-1]):
        with pytest.raises(SealBroken):
            RING.open(replace(sealed, **{part: short}), BINDING)


def test_claiming_another_key_breaks_the_seal() -> None:
    sealed = RING.seal(SECRET, BINDING)
    same = Keyring("new", {"old": b"n" * 32, "new": b"n" * 32})
    with pytest.raises(SealBroken):
        same.open(replace(sealed, key_id="old"), BINDING)
    with pytest.raises(SealBroken, match="'gone'"):
        RING.open(replace(sealed, key_id="gone"), BINDING)


def test_rewrapping_moves_to_the_active_key_and_leaves_the_ciphertext() -> None:
    before = Keyring("old", {"old": b"o" * 32}).seal(SECRET, BINDING)
    after = RING.rewrap(before, BINDING)
    assert (after.key_id, after.ciphertext) == ("new", before.ciphertext)
    assert Keyring("new", {"new": b"n" * 32}).open(after, BINDING) == SECRET
    assert RING.open(before, BINDING) == SECRET, "the old one is readable until it is replaced"


def test_rewrapping_for_another_credential_breaks_the_seal() -> None:
    with pytest.raises(SealBroken):
        RING.rewrap(RING.seal(SECRET, BINDING), replace(BINDING, credential_id=uuid4()))


@pytest.mark.parametrize(("active", "keys"), [("a", {}), ("a", {"b": b"b" * 32}), ("a", {"a": b"short"})])
def test_ring_without_a_whole_active_key_is_refused(active: str, keys: dict[str, bytes]) -> None:
    with pytest.raises(ConfigurationError):
        Keyring(active, keys)
