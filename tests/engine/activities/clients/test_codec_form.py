"""Payloads of an earlier version open, and a key and salt seal only so many."""

from __future__ import annotations

import base64

import pytest
from temporalio.api.common.v1 import Payload

from engine.activities.clients import codec
from engine.activities.clients.codec import PayloadCipher, PayloadUnreadable
from models.sealing import Keyring

RING = Keyring("k1", {"k1": bytes(range(32))})
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"golden"')
# Sealed by the first version of the form. If this does not open, histories do not replay.
STORED = Payload(
    metadata={"encoding": b"binary/encrypted", "key-id": b"k1", "tenant": b"t1"},
    data=base64.b64decode(
        "BgLRK29V6aWZisHHZpVN4P9Egzlq+Sb/f5DQn/fg/7PxX4CeIALQ9+IaurS+wvRazJ7/yV2WjOvgk8avrTYlGDJNJIF+5bwQYseR5NUA"
    ),
)


def salt(payload: Payload) -> bytes:
    return payload.data[:16]


def test_a_payload_of_an_earlier_version_opens() -> None:
    assert PayloadCipher(lambda: RING).open(STORED, "t1") == PLAIN


def test_a_sealed_payload_has_the_known_form() -> None:
    sealed = PayloadCipher(lambda: RING).seal(PLAIN, "t1")
    assert dict(sealed.metadata) == dict(STORED.metadata)
    assert len(sealed.data) == len(STORED.data) == 16 + 12 + len(PLAIN.SerializeToString()) + 16


def test_a_cipher_seals_unless_it_is_told_otherwise() -> None:
    assert PayloadCipher(lambda: RING).seals
    assert not PayloadCipher(lambda: RING, seals=False).seals


def test_a_salt_is_given_up_after_its_last_payload() -> None:
    cipher = PayloadCipher(lambda: RING)
    first = cipher.seal(PLAIN, "t1")
    sealers = cipher._sealers  # pyright: ignore[reportPrivateUsage]  # nobody seals 2**31 payloads in a test
    assert sealers["t1"].left == 2**31 - 1
    sealers["t1"].left = 1
    last, fresh = cipher.seal(PLAIN, "t1"), cipher.seal(PLAIN, "t1")
    assert salt(first) == salt(last) != salt(fresh)


def test_tenants_that_are_remembered_are_bounded() -> None:
    cipher = PayloadCipher(lambda: RING)
    most = codec._MAX_TENANTS  # pyright: ignore[reportPrivateUsage]
    sealers = cipher._sealers  # pyright: ignore[reportPrivateUsage]
    for number in range(most):
        cipher.seal(PLAIN, f"t{number}")
    assert len(sealers) == most == 1024
    assert cipher.open(cipher.seal(PLAIN, "one more")) == PLAIN
    assert len(sealers) == 1


def test_what_cannot_be_opened_has_a_code_of_its_own() -> None:
    with pytest.raises(PayloadUnreadable) as caught:
        PayloadCipher(lambda: RING).open(STORED, "t2")
    assert caught.value.code == "PAYLOAD_UNREADABLE"
    broken = Payload(metadata=dict(STORED.metadata) | {"tenant": b"\xff"}, data=STORED.data)
    with pytest.raises(PayloadUnreadable):
        PayloadCipher(lambda: RING).open(broken)
