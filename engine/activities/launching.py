"""Starting the Temporal workflow of an execution, for the API and for the relay of stranded starts."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import UNPROTECTED, Protection, connect
from engine.contracts import (
    ATTRIBUTE_STATUS,
    ATTRIBUTE_TENANT,
    ATTRIBUTE_TRIGGER,
    ATTRIBUTE_WORKFLOW,
    EXECUTION_WORKFLOW,
    ExecutionInput,
    temporal_id,
)
from engine.errors import SystemFault
from engine.settings.fairness import FairnessSettings

RPC_TIMEOUT = timedelta(seconds=5)
CONNECT_TIMEOUT_S = 5.0
RECONNECT_AFTER_S = 1.0
MAX_SUMMARY_BYTES = 200

_KEYS = tuple(
    SearchAttributeKey.for_keyword(name)
    for name in (ATTRIBUTE_TENANT, ATTRIBUTE_WORKFLOW, ATTRIBUTE_TRIGGER, ATTRIBUTE_STATUS)
)
_AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.CANCELLED,
)


@contextmanager
def translated_rpc_faults() -> Generator[None]:
    """Turn "Temporal is away" into SystemFault; what it says of a Temporal workflow itself passes unchanged."""
    try:
        yield
    except RPCError as error:
        if error.status not in _AWAY:
            raise
        raise SystemFault(f"Temporal did not answer: {error.status.name.lower()}: {error.message}") from error


class TemporalLink:
    """A client that is connected when it is first needed, so that a process can start while Temporal is away."""

    def __init__(
        self,
        address: str,
        namespace: str,
        objects: ObjectStore,
        protection: Protection = UNPROTECTED,
        fairness: FairnessSettings = FairnessSettings(),  # noqa: B008  (frozen)
    ) -> None:
        self.fairness = fairness
        self._address = address
        self._protection = protection
        self._namespace = namespace
        self._objects = objects
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._failed_at = float("-inf")

    async def client(self) -> Client:
        """Raises: SystemFault if Temporal cannot be reached; tries again once a second at most."""
        if self._client is None:
            async with self._lock:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def _connect(self) -> Client:
        loop = asyncio.get_running_loop()
        if loop.time() - self._failed_at < RECONNECT_AFTER_S:
            raise SystemFault(f"Temporal at {self._address} did not answer a moment ago")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await connect(self._address, self._namespace, self._objects, self._protection)
        except TimeoutError:
            self._failed_at = loop.time()
            raise SystemFault(f"Temporal at {self._address} did not answer in {CONNECT_TIMEOUT_S:g} s") from None
        except SystemFault:
            self._failed_at = loop.time()
            raise

    async def check(self) -> None:
        """Raises: SystemFault if Temporal does not serve."""
        client = await self.client()
        with translated_rpc_faults():
            if not await client.service_client.check_health(timeout=timedelta(seconds=2)):
                raise SystemFault("Temporal is not serving")

    async def handle(self, tenant: object, execution_id: object) -> WorkflowHandle[object, object]:
        """The Temporal workflow of an execution, whether it exists or not."""
        client = await self.client()
        return client.get_workflow_handle(temporal_id(str(tenant), str(execution_id)))

    async def exists(self, handle: WorkflowHandle[object, object]) -> bool:
        """Whether Temporal knows this Temporal workflow. Raises: SystemFault."""
        try:
            with translated_rpc_faults():
                await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True


async def launch(link: TemporalLink, request: ExecutionInput, *, task_queue: str, priority: int) -> bool:
    """Start the Temporal workflow of an execution; False if it has been started before, which is as good.

    There is no timeout at the server: the interpreter keeps the execution's own clock.
    Raises: SystemFault if Temporal is away; then the relay starts it later.
    """
    client = await link.client()
    meta = request.meta
    texts = (meta["tenant"], meta["workflow_name"], meta["trigger"], "running")
    attributes = TypedSearchAttributes([SearchAttributePair(key, text) for key, text in zip(_KEYS, texts, strict=True)])
    with translated_rpc_faults():
        try:
            await client.start_workflow(
                EXECUTION_WORKFLOW,
                request,
                id=temporal_id(meta["tenant"], meta["execution_id"]),
                task_queue=task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=attributes,
                static_summary=_summary(meta["workflow_name"]),
                priority=priority_of(meta["tenant"], priority, link.fairness.weight_of(meta["tenant"])),
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
    return True


def priority_of(tenant: str, priority: int, weight: float) -> Priority:
    """Where the tasks of an execution stand in line; its activities and children inherit it.

    Among tasks that wait, the lower `priority` goes first, and tenants of one priority take turns by their weights.
    """
    return Priority(priority_key=priority, fairness_key=tenant, fairness_weight=weight)


def _summary(name: str) -> str:
    """Temporal refuses summaries over its limit of bytes."""
    return name.encode("utf-8", "replace")[:MAX_SUMMARY_BYTES].decode("utf-8", "ignore")
