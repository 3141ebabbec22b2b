"""The system under a fault: servers, an effect server and a tenant, with executions started as the API starts them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client, WorkflowHandle

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.starting import Versions, execution_input
from engine.contracts import EXECUTION_WORKFLOW, temporal_id
from engine.dag.values import inline
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from engine.settings import Settings
from models.repositories.executions import Executions, NewExecution
from models.repositories.quotas import Quotas
from models.repositories.tenants import Tenants
from models.repositories.workflows import Saved, Workflows
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import running_servers
from tests.faults.effects import EffectServer, running_effects
from tests.structforge.devstack.conftest import settings_for


@dataclass(slots=True)
class System:
    """Everything but the workers. Executions belong to one tenant and hold a slot of it."""

    settings: Settings
    database: Database
    temporal: Client
    effects: EffectServer
    tenant: TenantId
    versions: Versions

    async def save(self, document: dict[str, Any]) -> Saved:
        return await Workflows(self.database).create(self.tenant, document)

    async def start(self, saved: Saved, data: Any = None) -> UUID:
        """Make the row of an execution with the input `data`, and start its Temporal workflow."""
        spec = saved.version.spec
        triggers = [node["id"] for node in spec["nodes"] if node["type"] == "manual"]
        new = NewExecution(
            workflow_id=saved.workflow.id,
            version_id=saved.version.id,
            workflow_name=saved.workflow.name,
            input=inline({} if data is None else data),
            trigger_node=triggers[0] if triggers else None,
            node_total=len(spec["nodes"]),
        )
        await Executions(self.database).create_execution(self.tenant, new)
        await self.temporal.start_workflow(
            EXECUTION_WORKFLOW,
            await execution_input(self.database, self.versions, self.tenant, new.id),
            id=temporal_id(str(self.tenant), str(new.id)),
            task_queue=self.settings.worker.task_queue,
        )
        return new.id

    def handle(self, execution_id: UUID) -> WorkflowHandle[Any, Any]:
        """The Temporal workflow of an execution."""
        return self.temporal.get_workflow_handle(temporal_id(str(self.tenant), str(execution_id)))


@contextlib.asynccontextmanager
async def running_system(data_dir: Path, worker: Mapping[str, Any] | None = None) -> AsyncGenerator[System]:
    """Servers on free ports, gone afterwards; `worker` are settings of the workers that will be started."""
    settings = settings_for(data_dir).override(
        {
            "http": {"allowed_hosts": ["127.0.0.1"]},
            "worker": {"evaluator_processes": 1, **(worker or {})},
        }
    )
    async with running_effects(data_dir.parent / "effects.log") as effects, running_servers(settings) as servers:
        served = servers.settings
        assert served.database.url is not None
        assert served.temporal.address is not None
        objects = ObjectStore.open(served.objects_url)
        temporal = await connect(served.temporal.address, served.temporal.namespace, objects, protection_of(served))
        database = await Database.open(served.database.url.get_secret_value(), pool_size=5)
        try:
            tenant = mint_tenant(uuid4())
            await Tenants(database).ensure(tenant, "faults")
            await Quotas(database).put(tenant, "tenant", "concurrent_executions", "", 1_000_000)
            versions = Versions(database, built_in_catalogue(), AstReferenceParser())
            yield System(served, database, temporal, effects, tenant, versions)
        finally:
            await database.close()
