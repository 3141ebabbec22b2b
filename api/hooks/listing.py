"""The webhooks of a workflow, as its editors see them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from api.hooks.schemas import HookList, HookReply
from api.hooks.service import params_of
from api.resources import Resources
from engine.dag.document import parse_spec
from engine.dag.spec import NodeSpec
from engine.nodes.trigger.webhook import WebhookParams
from models.repositories.workflows import Versions, Workflows
from models.tables import Workflow
from models.tenancy import TenantId

_PROOFS: Mapping[str, str] = {
    "none": "nothing: whoever knows the address may call it",
    "api_key": "the key of the credential, in the header or query parameter that the credential names (x-api-key)",
    "bearer": "Authorization: Bearer, with the token of the credential",
    "hmac": "the headers webhook-id, webhook-timestamp (seconds since 1970, at most 300 s off) and webhook-signature: "
    "v1, and the base64 of HMAC-SHA256 over `id.timestamp.body` with the credential's secret; sign each try anew",
}


async def list_hooks(resources: Resources, tenant: TenantId, workflow_id: UUID, base_url: str) -> HookList:
    """Raises: NotFound."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    found: dict[tuple[str, str], HookReply] = {}
    for number in dict.fromkeys((workflow.published_version, workflow.latest_version)):
        if number is None:
            continue
        version = await Versions(resources.database).get_number(tenant, workflow_id, number)
        if not version.valid:  # a draft with errors may hold anything
            continue
        for node in parse_spec(version.spec).nodes:
            if node.type == "webhook":
                params = params_of(node)
                reply = _reply(workflow, number, node, params, base_url.rstrip("/"))
                found.setdefault((params.path, params.method), reply)
    return HookList(items=[found[address] for address in sorted(found)])


def _reply(workflow: Workflow, number: int, node: NodeSpec, params: WebhookParams, base_url: str) -> HookReply:
    tenant = workflow.tenant_id
    return HookReply(
        node=node.id,
        method=params.method,
        path=params.path,
        url=f"{base_url}/hooks/{tenant}/{params.path}",
        test_url=f"{base_url}/api/v1/workflows/{workflow.id}/hooks/test/{params.path}",
        version=number,
        live=workflow.status == "active" and workflow.published_version == number,
        auth=params.auth,
        credential=node.credential,
        proof=_PROOFS[params.auth],
        response=params.response,
    )
