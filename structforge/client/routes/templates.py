"""Routes of templates. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.models.shared import WorkflowDetail
from structforge.client.models.templates import TemplateDetail, TemplateReply
from structforge.client.unset import UNSET, Unset


class TemplatesRoutes:
    """Routes of templates."""

    @call
    def list_templates(self) -> Call[list[TemplateReply]]:
        """The built-in templates, then the tenant's own."""
        return Call("GET", "/api/v1/templates", list[TemplateReply])

    @call
    def create_template(
        self,
        workflow_id: Id,
        *,
        version: int | Unset | None = UNSET,
        name: str | Unset | None = UNSET,
        description: str | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[TemplateDetail]:
        """Keep the document of a workflow, which the caller edits, as a template for everybody in the tenant."""
        return Call(
            "POST",
            "/api/v1/templates",
            TemplateDetail,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"workflow_id": workflow_id, "version": version, "name": name, "description": description},
        )

    @call
    def get_template(self, template_id: str) -> Call[TemplateDetail]:
        """A template with its document."""
        return Call("GET", f"/api/v1/templates/{part(template_id)}", TemplateDetail)

    @call
    def delete_template(self, template_id: str) -> Call[None]:
        """Delete one of the tenant's own templates; workflows made of it stay."""
        return Call("DELETE", f"/api/v1/templates/{part(template_id)}", type(None))

    @call
    def use_template(
        self,
        template_id: str,
        name: str,
        *,
        folder_id: Id | Unset | None = UNSET,
        publish: bool | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[WorkflowDetail]:
        """Make a new workflow of a template."""
        return Call(
            "POST",
            f"/api/v1/templates/{part(template_id)}/use",
            WorkflowDetail,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"name": name, "folder_id": folder_id, "publish": publish},
        )
