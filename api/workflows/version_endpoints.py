"""Routes of a workflow's versions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from api.access import Caller
from api.conditional import IfNoneMatch, has_already, not_modified, tag
from api.cursors import Cursor, Limit, read_number
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.workflows import history, service
from api.workflows.etags import IfMatch, etag_of, expected_version, version_etag
from api.workflows.schemas import (
    DiffReply,
    Pruned,
    RollbackRequest,
    VersionDetail,
    VersionReply,
    WorkflowDetail,
    WorkflowReply,
)

router = APIRouter(prefix="/workflows/{workflow_id}", tags=["versions"])

Number = Annotated[int, Path(ge=1, lt=2**31, description="1, 2, ...")]
Other = Annotated[int, Query(ge=1, lt=2**31, description="The version to compare with")]
Keep = Annotated[int, Query(ge=1, lt=2**31, description="How many of the latest versions stay in any case")]


@router.get("/versions")
@requires(Permission.WORKFLOW_READ)
async def list_versions(
    workflow_id: UUID, resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Page[VersionReply]:
    """The versions of a workflow, newest first, without their documents."""
    return await history.list_versions(resources, caller.tenant, workflow_id, read_number(cursor), limit)


@router.get("/versions/{number}", response_model=VersionDetail)
@requires(Permission.WORKFLOW_READ)
async def get_version(
    workflow_id: UUID,
    number: Number,
    response: Response,
    resources: Held,
    caller: Caller,
    if_none_match: IfNoneMatch = None,
) -> VersionDetail | Response:
    """A version with its document."""
    version, published = await history.get_version(resources, caller.tenant, workflow_id, number)
    etag = version_etag(version, published)
    if has_already(if_none_match, etag):
        return not_modified(etag)
    tag(response, etag)
    return history.detail_of(version, published)


@router.get("/versions/{number}/diff")
@requires(Permission.WORKFLOW_READ)
async def diff_versions(
    workflow_id: UUID, number: Number, against: Other, resources: Held, caller: Caller
) -> DiffReply:
    """What the version changes of the version `against`: nodes, edges, and every other section."""
    return await history.diff_versions(resources, caller.tenant, workflow_id, against, number)


@router.post("/versions/{number}/publish")
@requires(Permission.WORKFLOW_WRITE)
async def publish_version(
    workflow_id: UUID, number: Number, response: Response, resources: Held, caller: Caller
) -> WorkflowReply:
    """Make a valid version the one that starts and triggers run; executions under way keep theirs."""
    workflow = await history.publish_version(resources, caller, workflow_id, number)
    tag(response, etag_of(workflow))
    return service.reply_of(workflow)


@router.post("/unpublish")
@requires(Permission.WORKFLOW_WRITE)
async def unpublish_workflow(workflow_id: UUID, response: Response, resources: Held, caller: Caller) -> WorkflowReply:
    """Make the workflow a draft again: only tries of a version that is named still start."""
    workflow = await history.unpublish(resources, caller, workflow_id)
    tag(response, etag_of(workflow))
    return service.reply_of(workflow)


@router.post("/rollback")
@requires(Permission.WORKFLOW_WRITE)
async def roll_back(
    workflow_id: UUID,
    body: RollbackRequest,
    response: Response,
    resources: Held,
    caller: Caller,
    if_match: IfMatch = None,
) -> WorkflowDetail:
    """Save the document of an old version as the next version and publish it; nothing in between is lost."""
    saved = await history.roll_back(resources, caller, workflow_id, body, expected_version(if_match))
    tag(response, etag_of(saved.workflow))
    return service.detail_of(saved)


@router.post("/versions/prune")
@requires(Permission.WORKFLOW_WRITE)
async def prune_versions(workflow_id: UUID, keep: Keep, resources: Held, caller: Caller) -> Pruned:
    """Delete versions behind the last `keep`; the published one and those that were ever executed stay."""
    return Pruned(removed=await history.prune_versions(resources, caller, workflow_id, keep))
