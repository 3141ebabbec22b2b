"""Routes of tags."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.tags.schemas import TagReply
from api.workflow_access import sight_of
from models.jsonb import plain_text
from models.repositories.workflow_lists import WorkflowLists

router = APIRouter(prefix="/tags", tags=["tags"])

Prefix = Annotated[str, Query(max_length=64, description="How the tag begins")]


@router.get("")
@requires(Permission.WORKFLOW_READ)
async def list_tags(resources: Held, caller: Caller, prefix: Prefix = "") -> list[TagReply]:
    """Tags of the workflows that the caller may see, and how many workflows have each."""
    begin = (plain_text(prefix) or "").lower()
    found = await WorkflowLists(resources.database).tags(caller.tenant, begin, sight=sight_of(caller))
    return [TagReply(tag=tag, workflows=count) for tag, count in found]
