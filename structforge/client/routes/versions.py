"""Routes of versions. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.shared import WorkflowDetail, WorkflowReply
from structforge.client.models.versions import DiffReply, Pruned, VersionDetail, VersionReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class VersionsRoutes:
    """Routes of versions."""

    @listing
    def list_versions(
        self,
        workflow_id: Id,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[VersionReply]]:
        """The versions of a workflow, newest first, without their documents."""
        return Call(
            "GET",
            f"/api/v1/workflows/{part(workflow_id)}/versions",
            Page[VersionReply],
            params={"cursor": cursor, "limit": limit},
        )

    @call
    def get_version(self, workflow_id: Id, number: int) -> Call[VersionDetail]:
        """A version with its document."""
        return Call("GET", f"/api/v1/workflows/{part(workflow_id)}/versions/{part(number)}", VersionDetail)

    @call
    def diff_versions(self, workflow_id: Id, number: int, *, against: int) -> Call[DiffReply]:
        """What the version changes of the version `against`: nodes, edges, and every other section."""
        return Call(
            "GET",
            f"/api/v1/workflows/{part(workflow_id)}/versions/{part(number)}/diff",
            DiffReply,
            params={"against": against},
        )

    @call
    def publish_version(
        self,
        workflow_id: Id,
        number: int,
        *,
        idempotency_key: str | None = None,
    ) -> Call[WorkflowReply]:
        """Make a valid version the one that starts and triggers run; executions under way keep theirs."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/versions/{part(number)}/publish",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def unpublish_workflow(self, workflow_id: Id, *, idempotency_key: str | None = None) -> Call[WorkflowReply]:
        """Make the workflow a draft again: only tries of a version that is named still start."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/unpublish",
            WorkflowReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def roll_back(
        self,
        workflow_id: Id,
        version: int,
        *,
        publish: bool | Unset = UNSET,
        note: str | Unset = UNSET,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Save the document of an old version as the next version and publish it; nothing in between is lost."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/rollback",
            WorkflowDetail,
            headers={"If-Match": UNSET if if_match is None else if_match, "Idempotency-Key": key(idempotency_key)},
            body={"version": version, "publish": publish, "note": note},
        )

    @call
    def prune_versions(self, workflow_id: Id, *, keep: int, idempotency_key: str | None = None) -> Call[Pruned]:
        """Delete versions behind the last `keep`; the published one and those that were ever executed stay."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/versions/prune",
            Pruned,
            params={"keep": keep},
            headers={"Idempotency-Key": key(idempotency_key)},
        )
