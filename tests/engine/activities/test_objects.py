import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.activities.clients.objects import ObjectStore, Values, object_path
from engine.dag.values import element, inline, listing, mapping
from engine.errors import NodeError, NotFound, SystemFault
from models.tenancy import TenantId, mint_tenant

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def tenant() -> TenantId:
    return mint_tenant(uuid4())


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open((tmp_path / "with space").as_uri())


async def test_bytes_come_back_by_their_digest_from_under_their_tenant(
    objects: ObjectStore, tmp_path: Path, tenant: TenantId
) -> None:
    digest = await objects.put(tenant, b"hello")
    assert digest == hashlib.sha256(b"hello").hexdigest()
    assert await objects.get(tenant, digest) == b"hello"
    assert (tmp_path / "with space" / str(tenant) / digest[:2] / digest).read_bytes() == b"hello"
    assert await objects.exists(tenant, digest)


async def test_another_tenant_cannot_read_by_the_same_digest(objects: ObjectStore, tenant: TenantId) -> None:
    digest = await objects.put(tenant, b"secret")
    stranger = mint_tenant(uuid4())
    assert not await objects.exists(stranger, digest)
    with pytest.raises(NotFound):
        await objects.get(stranger, digest)


@pytest.mark.parametrize("name", ["", "..", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "g" * 64])
async def test_name_that_is_no_digest_is_refused(objects: ObjectStore, tenant: TenantId, name: str) -> None:
    for call in (objects.get, objects.exists):
        with pytest.raises(ValueError, match="64 lower-case"):
            await call(tenant, name)


async def test_damaged_content_is_noticed(objects: ObjectStore, tmp_path: Path, tenant: TenantId) -> None:
    digest = await objects.put(tenant, b"hello")
    (tmp_path / "with space" / object_path(tenant, digest)).write_bytes(b"hallo")
    with pytest.raises(SystemFault) as fault:
        await objects.get(tenant, digest)
    assert fault.value.code == "OBJECT_DAMAGED"


async def test_same_bytes_stored_at_once_are_one_whole_object(
    objects: ObjectStore, tmp_path: Path, tenant: TenantId
) -> None:
    data = b"x" * 1_000_000
    digests = await asyncio.gather(*(objects.put(tenant, data) for _ in range(8)))
    files = [path for path in (tmp_path / "with space").rglob("*") if path.is_file()]
    assert len(set(digests)) == 1
    assert [path.name for path in files] == [digests[0]]
    assert files[0].read_bytes() == data


FULL_DISK = """
import asyncio, resource, sys
from uuid import uuid4
from engine.activities.clients.objects import ObjectStore
from engine.errors import NodeError
from models.tenancy import mint_tenant
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
async def main():
    store, tenant = ObjectStore.open(sys.argv[1]), mint_tenant(uuid4())
    await store.put(tenant, b"x" * 1000)
    try:
        await store.put(tenant, b"x" * 1_000_000)
    except NodeError as error:
        print(error.code, error.retryable)
asyncio.run(main())
"""


def test_store_without_room_is_a_typed_failure_and_leaves_no_part(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, (tmp_path / "o").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.stdout.strip() == "RESOURCE_EXHAUSTED False", done.stderr
    assert [p.stat().st_size for p in (tmp_path / "o").rglob("*") if p.is_file() and len(p.name) == 64] == [1000]


async def test_folder_that_vanished_is_a_system_fault(tmp_path: Path, tenant: TenantId) -> None:
    store = ObjectStore.open((tmp_path / "o").as_uri())
    (tmp_path / "o").rmdir()
    (tmp_path / "o").write_text("a file in its place")
    with pytest.raises(SystemFault):
        await store.put(tenant, b"x")


async def test_small_data_stay_inline_with_their_size(objects: ObjectStore, tenant: TenantId) -> None:
    data = {"a": [1, "é"]}
    assert await Values(objects).store(tenant, data) == {
        "v": data,
        "n": len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()),
    }


async def test_limit_decides_between_inline_and_stored(objects: ObjectStore, tenant: TenantId) -> None:
    values = Values(objects)
    assert "v" in await values.store(tenant, "x" * 98, inline_limit=100)  # 98 and two quotes
    large = await values.store(tenant, "x" * 99, inline_limit=100)
    assert set(large) == {"r", "n", "t"}
    assert large["n"] == 101
    assert await values.load(tenant, large) == "x" * 99


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_data_come_back_the_same_inline_and_stored(data: Any) -> None:
    async def both() -> None:
        objects, tenant = ObjectStore.open("memory:///"), mint_tenant(uuid4())
        for limit in (10**9, -1):
            stored = await Values(objects).store(tenant, data, inline_limit=limit)
            assert json.loads(json.dumps(stored)) == stored
            assert await Values(objects).load(tenant, stored) == data

    asyncio.run(both())


async def test_composites_and_elements_are_read_through(objects: ObjectStore, tenant: TenantId) -> None:
    values = Values(objects)
    stored = await values.store(tenant, [10, {"deep": [1, 2]}], inline_limit=0)
    whole = mapping({"list": listing([inline(1), stored]), "one": element(stored, 1)})
    assert await values.load(tenant, whole) == {"list": [1, [10, {"deep": [1, 2]}]], "one": {"deep": [1, 2]}}
    with pytest.raises(IndexError):
        await values.load(tenant, element(stored, 5))


async def test_user_data_that_look_like_a_reference_are_data(objects: ObjectStore, tenant: TenantId) -> None:
    values = Values(objects)
    sly = {"r": "a" * 64, "n": 1, "t": "json"}
    assert await values.load(tenant, await values.store(tenant, sly)) == sly
    assert await values.load(tenant, await values.store(tenant, sly, inline_limit=0)) == sly


class CountingStore(ObjectStore):
    reads = 0

    async def get(self, tenant: TenantId, sha256: str) -> bytes:
        self.reads += 1
        return await super().get(tenant, sha256)


async def test_stored_value_is_read_once_by_all_and_kept_within_the_bound(tmp_path: Path, tenant: TenantId) -> None:
    objects = CountingStore.open((tmp_path / "o").as_uri())
    assert isinstance(objects, CountingStore)
    values = Values(objects, cache_bytes=5000)
    first, second, third = [await values.store(tenant, f"{i}" * 2000, inline_limit=0) for i in range(3)]
    await asyncio.gather(*(values.load(tenant, first) for _ in range(10)))
    assert objects.reads == 1
    await values.load(tenant, second)
    await values.load(tenant, first)
    assert objects.reads == 2  # first was still kept: 2 x 2002 bytes fit into 5000
    await values.load(tenant, third)  # drops the one unused for longest: second
    await values.load(tenant, first)
    assert objects.reads == 3
    await values.load(tenant, second)
    assert objects.reads == 4


async def test_cancelled_reader_does_not_take_the_value_from_the_others(objects: ObjectStore, tenant: TenantId) -> None:
    values = Values(objects)
    stored = await values.store(tenant, "x" * 500_000, inline_limit=0)
    impatient = asyncio.create_task(values.load(tenant, stored))
    patient = asyncio.create_task(values.load(tenant, stored))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "x" * 500_000


@pytest.mark.parametrize("data", [object(), {1: 2}, {"a": {1, 2}}, b"bytes", 2**70])
async def test_what_is_no_json_is_a_node_error(objects: ObjectStore, tenant: TenantId, data: Any) -> None:
    with pytest.raises(NodeError):
        await Values(objects).store(tenant, data)
