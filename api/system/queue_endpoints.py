"""Routes of workers and task queues, for administrators of the installation: workers are every tenant's."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.system import service
from api.system.schemas import QueueReply, WorkerReply
from api.users.service import need_installation_admin

router = APIRouter(tags=["system"])


@router.get("/system/workers")
@requires(Permission.SYSTEM_READ)
async def list_workers(resources: Held, caller: Caller) -> list[WorkerReply]:
    """Workers that asked Temporal for work within five minutes, the latest first, and what they serve."""
    need_installation_admin(caller)
    return await service.workers(resources)


@router.get("/system/queues")
@requires(Permission.SYSTEM_READ)
async def list_queues(resources: Held, caller: Caller) -> list[QueueReply]:
    """Task queues of the settings and the plugins: what waits in them, and how many workers ask for it."""
    need_installation_admin(caller)
    return await service.queues(resources)
