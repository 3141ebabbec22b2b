"""The cipher of payloads: what it opens and what it refuses, and the converter around it."""

from __future__ import annotations

import secrets
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from engine.activities.clients.codec import ENCODING, NOBODY, PayloadCipher, PayloadUnreadable
from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import data_converter
from engine.contracts import Command, LaunchRequest, StoreRequest, temporal_id
from models.sealing import Keyring

ONE = Keyring("one", {"one": secrets.token_bytes(32)})
A, B = str(uuid4()), str(uuid4())
SECRET = "a text that nobody may find"


def cipher(ring: Keyring = ONE, *, seals: bool = True) -> PayloadCipher:
    return PayloadCipher(lambda: ring, seals=seals)


def plain(data: bytes = SECRET.encode()) -> Payload:
    return Payload(metadata={"encoding": b"json/plain", "more": b"kept"}, data=data)


def changed(payload: Payload, **metadata: bytes) -> Payload:
    copy = Payload.FromString(payload.SerializeToString())
    for name, value in metadata.items():
        copy.metadata[name.replace("_", "-")] = value
    return copy


def test_a_payload_comes_back_whole_and_is_not_to_be_found_in_the_sealed_one() -> None:
    sealed = cipher().seal(plain(), A)
    assert sealed.metadata["encoding"] == ENCODING
    assert (sealed.metadata["key-id"], sealed.metadata["tenant"]) == (b"one", A.encode())
    assert SECRET.encode() not in sealed.SerializeToString()
    assert cipher().open(sealed, A) == plain()


def test_the_same_payload_is_sealed_differently_each_time() -> None:
    one = cipher()
    assert len({one.seal(plain(), A).data for _ in range(100)}) == 100
    assert one.seal(plain(), A).data[:16] == one.seal(plain(), A).data[:16], "one salt for a process"
    assert one.seal(plain(), A).data[:16] != cipher().seal(plain(), A).data[:16], "and another for the next"


def test_a_payload_that_is_not_sealed_passes() -> None:
    assert cipher().open(plain(), A) is not None
    assert cipher().open(plain(), A) == plain()


@pytest.mark.parametrize("place", [0, 15, 16, 27, 28, 60, -1])
def test_a_changed_byte_anywhere_is_noticed(place: int) -> None:
    sealed = cipher().seal(plain(), A)
    data = bytearray(sealed.data)
    data[place] ^= 1
    sealed.data = bytes(data)
    with pytest.raises(PayloadUnreadable, match="changed or moved"):
        cipher().open(sealed, A)


@pytest.mark.parametrize("length", [0, 10, 28, 43])
def test_a_payload_that_was_cut_is_refused(length: int) -> None:
    sealed = cipher().seal(plain(), A)
    sealed.data = sealed.data[:length]
    with pytest.raises(PayloadUnreadable):
        cipher().open(sealed, A)


def test_the_tenant_is_authenticated() -> None:
    moved = changed(cipher().seal(plain(), A), tenant=B.encode())
    with pytest.raises(PayloadUnreadable, match="changed or moved"):
        cipher().open(moved, B)
    with pytest.raises(PayloadUnreadable, match="changed or moved"):
        cipher().open(changed(cipher().seal(plain(), A), tenant=NOBODY.encode()), B)


def test_the_key_id_is_authenticated() -> None:
    ring = Keyring("one", {"one": ONE.keys["one"], "twin": ONE.keys["one"]})
    with pytest.raises(PayloadUnreadable, match="changed or moved"):
        cipher(ring).open(changed(cipher(ring).seal(plain(), A), key_id=b"twin"), A)


def test_another_tenants_payload_is_refused_in_a_workflow_of_ours() -> None:
    with pytest.raises(PayloadUnreadable, match="another tenant"):
        cipher().open(cipher().seal(plain(), A), B)


def test_tenants_have_keys_of_their_own() -> None:
    ring, sealed = cipher(), cipher().seal(plain(), A)
    forged = changed(sealed, tenant=B.encode())
    with pytest.raises(PayloadUnreadable):
        ring.open(forged)


def test_old_payloads_open_after_a_rotation_and_new_ones_take_the_new_key() -> None:
    rings = [ONE]
    one = PayloadCipher(lambda: rings[-1])
    old = one.seal(plain(), A)
    rings.append(ONE.with_new_key("two"))
    one._looked_at = float("-inf")  # pyright: ignore[reportPrivateUsage] - a second has passed
    new = one.seal(plain(), A)
    assert (old.metadata["key-id"], new.metadata["key-id"]) == (b"one", b"two")
    assert one.open(old, A) == one.open(new, A) == plain()


def test_a_key_that_another_process_has_just_made_is_looked_up_at_once() -> None:
    rings = [ONE]
    slow = PayloadCipher(lambda: rings[-1])
    slow.seal(plain(), A)
    rings.append(ONE.with_new_key("two"))
    assert slow.open(cipher(rings[-1]).seal(plain(), A), A) == plain()


def test_without_its_key_a_payload_says_which_one_is_missing() -> None:
    sealed = cipher(ONE.with_new_key("gone")).seal(plain(), A)
    with pytest.raises(PayloadUnreadable, match="'gone'") as failure:
        cipher().open(sealed, A)
    assert failure.value.details == {"key_id": "gone"}


def test_a_salt_is_given_up_long_before_its_nonces_could_repeat() -> None:
    one = cipher()
    first = one.seal(plain(), A)
    one._sealers[A].left = 0  # pyright: ignore[reportPrivateUsage]
    assert one.seal(plain(), A).data[:16] != first.data[:16]


# ---- the converter


@pytest.fixture
def converter(tmp_path: Path) -> DataConverter:
    return data_converter(ObjectStore.open(tmp_path.as_uri()), cipher())


def inside(converter: DataConverter, tenant: str = A) -> DataConverter:
    return converter.with_context(WorkflowSerializationContext("default", temporal_id(tenant, "x")))


async def test_messages_are_sealed_under_the_tenant_of_their_workflow(converter: DataConverter) -> None:
    (sealed,) = await inside(converter).encode([Command("skip", comment=SECRET)])
    assert sealed.metadata["tenant"] == A.encode()
    assert SECRET.encode() not in sealed.SerializeToString()
    assert await inside(converter).decode([sealed], [Command]) == [Command("skip", comment=SECRET)]
    with pytest.raises(PayloadUnreadable):
        await inside(converter, B).decode([sealed], [Command])


@pytest.mark.parametrize(
    "message", [StoreRequest({"tenant": A}, {}), LaunchRequest(A, "w", "s", "n")], ids=["meta", "tenant"]
)
async def test_without_a_workflow_the_message_names_the_tenant(converter: DataConverter, message: object) -> None:
    (sealed,) = await converter.encode([message])
    assert (sealed.metadata["encoding"], sealed.metadata["tenant"]) == (ENCODING, A.encode())


async def test_what_belongs_to_nobody_is_sealed_all_the_same(converter: DataConverter) -> None:
    (sealed,) = await converter.encode([{"n": SECRET}])
    assert (sealed.metadata["encoding"], sealed.metadata["tenant"]) == (ENCODING, b"")
    assert await inside(converter).decode([sealed]) == [{"n": SECRET}]


async def test_labels_and_nothing_stay_readable(converter: DataConverter) -> None:
    payloads = await inside(converter).encode(["order-sync", None])
    assert [payload.metadata["encoding"] for payload in payloads] == [b"json/plain", b"binary/null"]


async def test_bytes_are_sealed_too(converter: DataConverter) -> None:
    (sealed,) = await inside(converter).encode([SECRET.encode()])
    assert sealed.metadata["encoding"] == ENCODING


async def test_message_and_details_of_a_failure_are_sealed(converter: DataConverter) -> None:
    failure = Failure()
    await inside(converter).encode_failure(ApplicationError(SECRET, {"detail": SECRET}, type="HTTP_ERROR"), failure)
    assert SECRET.encode() not in failure.SerializeToString()
    assert failure.application_failure_info.type == "HTTP_ERROR"
    back = await inside(converter).decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, list(back.details)) == (SECRET, [{"detail": SECRET}])


async def test_a_failure_of_older_code_is_read(converter: DataConverter, tmp_path: Path) -> None:
    older, failure = data_converter(ObjectStore.open(tmp_path.as_uri())), Failure()
    await older.encode_failure(ApplicationError(SECRET), failure)
    assert SECRET in str(await inside(converter).decode_failure(failure))


async def test_one_that_does_not_seal_still_opens(converter: DataConverter, tmp_path: Path) -> None:
    reading = data_converter(ObjectStore.open(tmp_path.as_uri()), cipher(seals=False))
    sealed = await inside(converter).encode([{"n": 1}])
    assert await inside(reading).decode(sealed) == [{"n": 1}]
    (readable,) = await inside(reading).encode([{"n": 1}])
    assert readable.metadata["encoding"] == b"json/plain"


async def test_a_large_message_leaves_only_a_sealed_address(converter: DataConverter) -> None:
    message = StoreRequest({"tenant": A}, {"v": "x" * 200_000})
    (sealed,) = await inside(converter).encode([message])
    assert len(sealed.data) < 1000
    assert await inside(converter).decode([sealed], [StoreRequest]) == [message]
