from uuid import uuid4

from models.ids import new_id
from models.repositories.logs import LogLine, Logs
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant


async def test_lines_of_two_tenants_in_one_batch_stay_apart(database: Database, tenant: TenantId) -> None:
    stranger, execution_id, logs = mint_tenant(uuid4()), new_id(), Logs(database)
    await logs.append(
        [LogLine(tenant, execution_id, "info", "mine"), LogLine(stranger, execution_id, "info", "theirs")]
    )
    assert [line.message for line in await logs.list(tenant, execution_id)] == ["mine"]
    assert [line.message for line in await logs.list(stranger, execution_id)] == ["theirs"]


async def test_lines_come_in_order_and_can_be_narrowed(database: Database, tenant: TenantId) -> None:
    execution_id, logs = new_id(), Logs(database)
    await logs.append(
        [
            LogLine(tenant, execution_id, "info", "start", node_path="a", fields={"n": 1}),
            LogLine(tenant, execution_id, "error", "Broken \x00 pipe", node_path="b", iteration=(1, 2), attempt=2),
            LogLine(tenant, execution_id, "info", "end", node_path="b"),
        ]
    )
    lines = await logs.list(tenant, execution_id)
    assert [line.message for line in lines] == ["start", "Broken \ufffd pipe", "end"]
    assert lines[1].iteration == [1, 2]
    assert [line.message for line in await logs.list(tenant, execution_id, after=lines[1].seq)] == ["end"]
    assert [line.message for line in await logs.list(tenant, execution_id, node_path="a")] == ["start"]
    assert len(await logs.list(tenant, execution_id, levels=["error"])) == 1
    assert len(await logs.list(tenant, execution_id, search="broken")) == 1


async def test_tenant_is_made_once(database: Database, tenant: TenantId) -> None:
    tenants, name = Tenants(database), f"t-{tenant}"
    first = await tenants.ensure(tenant, name)
    second = await tenants.ensure(tenant, name)
    assert first.created_at == second.created_at
    assert tenant.uuid in await tenants.ids()
