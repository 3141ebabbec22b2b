"""Credentials and who names them, in a real PostgreSQL."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.errors import Conflict, NotFound
from models.repositories.ai_models import AiModels, ModelFields
from models.repositories.credentials import Credentials, NewCredential
from models.repositories.workflows import Workflows
from models.sealing import Sealed
from models.session import Database
from models.tables import Credential
from models.tenancy import TenantId, mint_tenant

SEALED = Sealed("k", b"wrapped", b"cipher")


def name() -> str:
    return f"c-{uuid4().hex[:8]}"


async def made(database: Database, tenant: TenantId, **more: Any) -> Credential:
    fields: dict[str, Any] = {"id": uuid4(), "name": name(), "type": "bearer", **more}
    return await Credentials(database).create(tenant, NewCredential(**fields), SEALED)


def document(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": f"w-{uuid4().hex[:8]}", "nodes": list(nodes), "edges": [], **more}


async def test_credential_is_read_back_as_it_was_sealed(database: Database, tenant: TenantId) -> None:
    row = await made(database, tenant, allowed_hosts=["a.example"], users=[uuid4()])
    assert await Credentials(database).get(tenant, row.id) == row
    assert (row.version, row.key_id, row.wrapped_key, row.ciphertext) == (1, "k", b"wrapped", b"cipher")


async def test_name_is_taken_within_a_tenant_alone(database: Database, tenant: TenantId) -> None:
    row = await made(database, tenant)
    with pytest.raises(Conflict):
        await made(database, tenant, name=row.name)
    await made(database, mint_tenant(uuid4()), name=row.name)


async def test_another_tenant_finds_none_of_it(database: Database, tenant: TenantId) -> None:
    row, rows, stranger = await made(database, tenant), Credentials(database), mint_tenant(uuid4())
    assert await rows.named(stranger, [row.name]) == {}
    assert (await rows.list(stranger, everything=True)).items == []
    for attempt in (rows.get(stranger, row.id), rows.delete(stranger, row.id), rows.describe(stranger, row.id)):
        with pytest.raises(NotFound):
            await attempt


async def test_replacing_an_older_version_is_refused(database: Database, tenant: TenantId) -> None:
    row, rows = await made(database, tenant), Credentials(database)
    second = await rows.replace(tenant, row, ["b.example"], Sealed("k", b"w2", b"c2"))
    assert (second.version, second.ciphertext, second.allowed_hosts) == (2, b"c2", ["b.example"])
    with pytest.raises(Conflict) as caught:
        await rows.replace(tenant, row, [], SEALED)
    assert caught.value.code == "VERSION_CONFLICT"


async def test_list_shows_what_a_person_may_use(database: Database) -> None:
    tenant, person = mint_tenant(uuid4()), uuid4()
    everybodys = await made(database, tenant)
    own = await made(database, tenant, owner_id=person, for_all_members=False)
    shared = await made(database, tenant, users=[uuid4(), person], for_all_members=False)
    closed = await made(database, tenant, owner_id=uuid4(), for_all_members=False)
    ownerless = await made(database, tenant, for_all_members=False)

    async def seen(**how: Any) -> set[UUID]:
        return {row.id for row in (await Credentials(database).list(tenant, **how)).items}

    assert await seen(usable_by=person) == {everybodys.id, own.id, shared.id}
    assert await seen() == {everybodys.id}
    assert await seen(everything=True) == {everybodys.id, own.id, shared.id, closed.id, ownerless.id}


async def test_pages_follow_one_another(database: Database) -> None:
    tenant = mint_tenant(uuid4())
    ids = {(await made(database, tenant)).id for _ in range(5)}
    rows, found, before = Credentials(database), [], None
    while True:
        page = await rows.list(tenant, everything=True, before=before, limit=2)
        found += [row.id for row in page.items]
        if page.next is None:
            break
        before = page.next
    assert (len(found), set(found)) == (5, ids)


async def test_uses_are_noted_at_any_depth_when_a_version_is_saved(database: Database, tenant: TenantId) -> None:
    top, body, handler, data = name(), name(), name(), name()
    loop = {"id": "l", "type": "loop", "params": {"body": {"nodes": [{"id": "b", "type": "http", "credential": body}]}}}
    spec = document(
        {"id": "a", "type": "http", "credential": top, "params": {"body": {"credential": data}}},
        {"id": "n", "type": "http", "credential": None},
        loop,
        handlers={"nodes": [{"id": "h", "type": "http", "credential": handler}]},
    )
    await Workflows(database).create(tenant, spec)
    uses = await Credentials(database).uses(tenant, [top, body, handler, data])
    assert {one for one in uses if uses[one].workflows} == {top, body, handler}


async def test_uses_are_of_published_and_latest_versions_and_of_models(database: Database, tenant: TenantId) -> None:
    first, second, third = name(), name(), name()
    workflows = Workflows(database)
    spec = document({"id": "a", "type": "http", "credential": first})
    saved = await workflows.create(tenant, spec)
    for credential in (second, third):
        changed = {**spec, "nodes": [{"id": "a", "type": "http", "credential": credential}]}
        saved = await workflows.save(tenant, saved.workflow.id, changed)
    await workflows.publish(tenant, saved.workflow.id, 1)
    await AiModels(database).create(tenant, ModelFields(name=name(), provider="openai", model="m", credential=second))
    rows = Credentials(database)
    uses = await rows.uses(tenant, [first, second, third])
    assert [(use.version, use.published) for use in uses[first].workflows] == [(1, True)]
    assert uses[second].workflows == []
    assert len(uses[second].models) == 1
    assert [(use.version, use.published) for use in uses[third].workflows] == [(3, False)]
    assert await rows.named_by_any(tenant, second) == {saved.workflow.id: saved.workflow.name}
    await workflows.set_status(tenant, saved.workflow.id, "archived")
    assert (await rows.uses(tenant, [first]))[first].workflows == []


async def test_version_denies_a_person_what_it_names_and_she_may_not_use(database: Database, tenant: TenantId) -> None:
    person, rows = uuid4(), Credentials(database)
    closed = await made(database, tenant, owner_id=uuid4(), for_all_members=False)
    own = await made(database, tenant, owner_id=person, for_all_members=False)
    anyones = await made(database, tenant)
    nodes = [
        {"id": f"n{number}", "type": "http", "credential": text}
        for number, text in enumerate([closed.name, own.name, anyones.name, "the-operators"])
    ]
    saved = await Workflows(database).create(tenant, document(*nodes))
    assert await rows.denied_to(tenant, person, saved.version.id) == [closed.name]
    assert await rows.denied_to(tenant, uuid4(), saved.version.id) == sorted([closed.name, own.name])
