"""Runtime: everything that the activities of one worker process share, built once by the composition root."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from temporalio.client import Client

from engine.activities.alarms import Alarms
from engine.activities.clients.credentials import CredentialSource
from engine.activities.clients.objects import Values
from engine.activities.clients.redis_live import LiveView
from engine.activities.heartbeat import Pulse
from engine.activities.logs import LogWriter
from engine.activities.program import Program, Programs
from engine.activities.recorder import Recorder
from engine.activities.result_cache import ResultCache
from engine.activities.scopes import ScopeReader
from engine.activities.starting import Versions
from engine.expressions import Evaluator
from engine.nodes.ports import Ports
from engine.settings.fairness import FairnessSettings
from models.session import Database
from models.tenancy import TenantId, mint_tenant

KEPT_EXECUTIONS = 500
SHOWN_AFTER_S = 0.2  # a node that runs longer is shown as running


@dataclass(slots=True)
class Runtime:
    """Clients and caches of a worker."""

    database: Database
    recorder: Recorder
    values: Values
    versions: Versions
    programs: Programs
    evaluator: Evaluator
    ports: Ports
    credentials: CredentialSource
    temporal: Client
    worker: str = ""
    inline_limit: int = 32_768
    live: LiveView | None = None
    results: ResultCache | None = None
    logs: LogWriter | None = None
    log_level: str = "info"
    record_inputs: Literal["none", "io", "all"] = "io"
    fairness: FairnessSettings = field(default_factory=FairnessSettings)
    heartbeats: Pulse = field(default_factory=Pulse, init=False)
    shown: Alarms = field(default_factory=lambda: Alarms(SHOWN_AFTER_S), init=False)
    _bound: OrderedDict[tuple[str, str, int], ExecutionRuntime] = field(
        default_factory=OrderedDict[Any, Any], init=False
    )

    async def execution(self, meta: dict[str, Any]) -> ExecutionRuntime:
        """What belongs to one execution. The tenant comes from a Temporal input that authentication made."""
        key = (meta["tenant"], meta["execution_id"], meta["attempt"])
        bound = self._bound.get(key)
        if bound is None or bound.meta["version_id"] != meta["version_id"]:
            bound = self._bound[key] = await self._bind(meta)
            if len(self._bound) > KEPT_EXECUTIONS:
                self._bound.popitem(last=False)
        return bound

    async def _bind(self, meta: dict[str, Any]) -> ExecutionRuntime:
        tenant = mint_tenant(meta["tenant"])
        version = await self.versions.get(tenant, UUID(meta["version_id"]))
        program = self.programs.of(meta["version_id"], version.spec, version.plan)
        return ExecutionRuntime(self, tenant, meta, program, ScopeReader(self.values, tenant, version.plan, meta))


@dataclass(slots=True)
class ExecutionRuntime:
    """A runtime bound to one execution."""

    shared: Runtime
    tenant: TenantId
    meta: dict[str, Any]
    program: Program
    scopes: ScopeReader
