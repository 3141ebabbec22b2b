"""What is left behind is found: each kind is made once by hand, on real servers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import redis.asyncio as redis

from engine.activities.clients.objects import ObjectStore
from engine.dag.values import inline, listing, stored
from models.repositories.executions import Executions, NewExecution
from tests.faults.kept_data import dangling_references, leaks, orphans, references, unanswered
from tests.faults.system import System, running_system

CANARY = f"canary-{uuid4().hex}"
LOST, ORPHAN = uuid4(), uuid4()


async def test_rows_objects_and_secrets_that_are_left_behind_are_found(data_dir: Path) -> None:
    async with running_system(data_dir) as system:
        objects = ObjectStore.open(system.settings.objects_url)
        assert await unanswered(system.database, system.tenant, set()) == []
        assert await orphans(system.database, system.tenant) == []
        assert await dangling_references(system.database, system.tenant, objects) == []
        assert await leaks(system.settings, CANARY) == []
        await _leave_behind(system, objects)
        assert len(await unanswered(system.database, system.tenant, {LOST})) == 2  # a lost one, and one nobody knows
        found = " ".join(await orphans(system.database, system.tenant))
        assert f"a node execution without its execution: {ORPHAN} left" in found
        assert f"a node execution that is not over: {ORPHAN} left" in found
        assert "an execution that is not over" in found
        assert await dangling_references(system.database, system.tenant, objects) == [
            f"object {'0' * 64} is on record and not in the store"
        ]
        places = " ".join(await leaks(system.settings, CANARY))
        assert all(place in places for place in ("postgresql", "redis", "objects, files and logs", "temporal"))


async def _leave_behind(system: System, objects: ObjectStore) -> None:
    kept = stored(await objects.put(system.tenant, b'"here"'), 6)
    new = NewExecution(
        workflow_id=uuid4(), version_id=uuid4(), workflow_name="left", node_total=1,
        input=listing([inline({"secret": CANARY}), kept, stored("0" * 64, 7)]),
    )  # fmt: skip
    await Executions(system.database).create_execution(system.tenant, new)
    async with system.database.transaction(system.tenant) as transaction:
        await transaction.execute(
            """INSERT INTO node_execution (tenant_id, execution_id, node_path, iteration, generation, node_type, status)
               VALUES ($1, $2, 'left', '{}', 0, 'http', 'running')""",
            system.tenant.uuid,
            ORPHAN,
        )
    assert system.settings.redis.url is not None
    client = cast("Any", redis.Redis).from_url(system.settings.redis.url.get_secret_value())
    await client.set("left", json.dumps({"in": base64.b64encode(f"x{CANARY}".encode()).decode()}))
    await client.aclose()
    (system.settings.data_dir / "logs" / "left.log").write_text(f"token={CANARY}\n")
    (system.settings.data_dir / "temporal" / "left").write_bytes(CANARY.encode().hex().encode())


def test_data_that_looks_like_a_reference_is_none() -> None:
    assert list(references(inline({"r": "a" * 64, "n": 1, "t": "json"}))) == []
    assert list(references({"o": {"a": stored("b" * 64, 9), "c": inline(1)}})) == ["b" * 64]
