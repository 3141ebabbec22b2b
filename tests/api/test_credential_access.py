"""A person may use what its owner lets her use, wherever a workflow could use it for her."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from api.auth import Identity
from api.credential_access import (
    credential_names,
    need_credential,
    need_credentials_of,
    need_credentials_of_rerun,
    need_credentials_of_version,
)
from api.credentials import service
from api.credentials.schemas import CredentialChanges, CredentialReplacement, NewCredentialBody
from api.documents import check_document
from api.resources import Resources
from api.workflows import history
from api.workflows import service as workflows
from engine.errors import AccessDenied, NotFound
from models.repositories.executions import Executions, NewExecution
from models.repositories.workflows import Workflows
from models.tables import Credential
from models.tenancy import TenantId
from tests.api.conftest import document

pytestmark = pytest.mark.asyncio(loop_scope="session")


def person(tenant: TenantId, role: str = "member", user: UUID | None = None) -> Identity:
    given: Any = role
    return Identity(tenant, uuid4(), "a person", ("*",), user_id=user or uuid4(), tenant_role=given)


def machine(tenant: TenantId) -> Identity:
    return Identity(tenant, uuid4(), "a key", ("*",))


async def made(resources: Resources, owner: Identity, *, everybody: bool = False, **more: Any) -> Credential:
    body = NewCredentialBody(
        name=f"c-{uuid4().hex[:8]}",
        type="bearer",
        fields={"token": "some-secret"},
        allowed_hosts=["api.example.org"],
        for_all_members=everybody,
        **more,
    )
    return await service.create(resources, owner, body, force=False)


def naming(*names: str) -> dict[str, object]:
    nodes = [
        {"id": f"n{place}", "type": "http", "params": {"url": "https://api.example.org/"}, "credential": name}
        for place, name in enumerate(names)
    ]
    return document(nodes=nodes, edges=[])


async def test_names_are_found_in_bodies_and_handlers_and_not_in_data() -> None:
    body = {"nodes": [{"id": "b", "type": "http", "credential": "inner"}]}
    found = credential_names(
        {
            "nodes": [
                {"id": "a", "credential": "outer", "params": {"body": {"credential": "data"}}},
                {"id": "l", "params": {"branches": [body, {"nodes": [{"credential": "outer"}, {"credential": 5}]}]}},
            ],
            "handlers": {"nodes": [{"credential": "handler"}]},
        }
    )
    assert found == ["handler", "inner", "outer"]


async def test_owner_named_people_admins_and_keys_of_nobody_may_use_it(resources: Resources, tenant: TenantId) -> None:
    owner, friend, outsider = person(tenant), person(tenant), person(tenant)
    closed = await made(resources, owner, users=[friend.user_id])
    for caller in (owner, friend, person(tenant, "admin"), machine(tenant)):
        await need_credential(resources, caller, [closed.name])
    with pytest.raises(AccessDenied) as caught:
        await need_credential(resources, outsider, ["nobodys", closed.name])
    assert caught.value.code == "CREDENTIAL_DENIED"
    assert caught.value.details == {"credentials": [closed.name]}
    anyones = await made(resources, owner, everybody=True)
    await need_credential(resources, outsider, [anyones.name])


async def test_workflow_that_names_it_is_neither_saved_published_started_nor_rerun_by_others(
    resources: Resources, tenant: TenantId
) -> None:
    owner, outsider = person(tenant), person(tenant)
    closed = await made(resources, owner)
    checked = await check_document(resources, naming(closed.name))
    with pytest.raises(AccessDenied):
        await workflows.create_workflow(resources, outsider, checked)
    with pytest.raises(AccessDenied):
        await workflows.apply_workflow(resources, outsider, checked)
    saved = await workflows.create_workflow(resources, owner, checked, publish=False)
    with pytest.raises(AccessDenied):
        await workflows.save_version(resources, outsider, saved.workflow.id, checked)
    with pytest.raises(AccessDenied):
        await history.publish_version(resources, outsider, saved.workflow.id, 1)
    with pytest.raises(AccessDenied):
        await need_credentials_of_version(resources, outsider, saved.version.id)
    new = NewExecution(
        workflow_id=saved.workflow.id, version_id=saved.version.id, workflow_name="w", input={"v": {}, "n": 2}
    )
    execution = (await Executions(resources.database).create_execution(tenant, new)).execution
    for number in (None, 1):
        with pytest.raises(AccessDenied):
            await need_credentials_of_rerun(resources, outsider, execution.id, number)
        await need_credentials_of_rerun(resources, owner, execution.id, number)
    await need_credentials_of_version(resources, owner, saved.version.id)
    assert (await Workflows(resources.database).get(tenant, saved.workflow.id)).published_version is None


async def test_denied_credentials_are_all_named_at_once(resources: Resources, tenant: TenantId) -> None:
    owner = person(tenant)
    names = sorted([(await made(resources, owner)).name for _ in range(3)])
    with pytest.raises(AccessDenied) as caught:
        await need_credentials_of(resources, person(tenant), naming(*names))
    assert caught.value.details == {"credentials": names}


async def test_only_the_owner_and_admins_change_it(resources: Resources, tenant: TenantId) -> None:
    owner, user, outsider = person(tenant), person(tenant), person(tenant)
    closed = await made(resources, owner, users=[user.user_id])
    replacement = CredentialReplacement(fields={"token": "stolen-it"}, allowed_hosts=["evil.example.org"])
    changes = CredentialChanges(for_all_members=True)
    for caller, refusal in ((user, AccessDenied), (outsider, NotFound)):
        with pytest.raises(refusal):
            await service.replace(resources, caller, closed.id, replacement)
        with pytest.raises(refusal):
            await service.change(resources, caller, closed.id, changes)
        with pytest.raises(refusal):
            await service.delete(resources, caller, closed.id, force=True)
    assert (await service.uses_of(resources, user, [closed])) == {}
    assert (await service.change(resources, person(tenant, "admin"), closed.id, changes)).for_all_members
    assert (await service.replace(resources, owner, closed.id, replacement)).version == 2
    await service.delete(resources, owner, closed.id, force=False)


async def test_list_is_what_a_person_may_use(resources: Resources, tenant: TenantId) -> None:
    owner, outsider = person(tenant), person(tenant)
    closed = await made(resources, owner)
    seen = [row.id for row in (await service.page(resources, owner, before=None, limit=500)).items]
    hidden = [row.id for row in (await service.page(resources, outsider, before=None, limit=500)).items]
    assert closed.id in seen
    assert closed.id not in hidden
