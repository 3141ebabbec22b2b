"""Credentials of a tenant in running workflows: whose is taken, how soon a change is seen, what fails closed."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from engine.activities.clients.credentials import REMEMBER_S
from models.keyring import Keys
from models.repositories.credentials import Credentials, NewCredential, sealed_of
from models.sealing import Binding
from models.tables import Credential
from tests.engine.workflows.lab import Lab, graph
from tests.servers.token_server import TokenServer, running_token_server

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOSTS = ("127.0.0.1",)


async def keep(lab: Lab, name: str, kind: str, fields: dict[str, Any], hosts: tuple[str, ...] = HOSTS) -> Credential:
    new = NewCredential(id=uuid4(), name=name, type=kind, allowed_hosts=hosts)
    binding = Binding(lab.tenant.uuid, new.id, 1, kind, hosts)
    sealed = Keys(lab.stack.settings).ring().seal(fields, binding)
    return await Credentials(lab.stack.runtime.database).create(lab.tenant, new, sealed)


def fetch(server: TokenServer, credential: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.port}/resource"
    return {"id": "fetch", "type": "http", "params": {"url": url}, "credential": credential, **more}


async def test_tenants_own_credential_is_taken_before_the_operators(lab: Lab) -> None:
    path = lab.stack.settings.credentials_file
    path.write_text("mine: {type: bearer, token: the-operators}\nshared: {type: bearer, token: the-operators}\n")
    path.chmod(0o600)
    await keep(lab, "mine", "bearer", {"token": "the-tenants"})
    try:
        async with running_token_server() as server:
            for name in ("mine", "shared"):
                await lab.run(graph(fetch(server, name, on_error="continue")))
            assert server.shown == ["Bearer the-tenants", "Bearer the-operators"]
    finally:
        path.unlink()


async def test_credential_goes_to_its_hosts_alone(lab: Lab) -> None:
    await keep(lab, "bound", "bearer", {"token": "for-others"}, ("api.example",))
    async with running_token_server() as server:
        ended = await lab.run(graph(fetch(server, "bound")))
        assert server.shown == []
    assert ended.error is not None
    assert ended.error["code"] == "ACCESS_DENIED"


async def test_replaced_and_deleted_credentials_are_out_of_use_within_5_s(lab: Lab) -> None:
    rows = Credentials(lab.stack.runtime.database)
    row = await keep(lab, "turning", "bearer", {"token": "before"})
    async with running_token_server() as server:
        await lab.run(graph(fetch(server, "turning", on_error="continue")))
        binding = Binding(lab.tenant.uuid, row.id, 2, "bearer", HOSTS)
        sealed = Keys(lab.stack.settings).ring().seal({"token": "after"}, binding)
        row = await rows.replace(lab.tenant, row, HOSTS, sealed)
        await asyncio.sleep(REMEMBER_S)  # nothing tells when a process forgets
        await lab.run(graph(fetch(server, "turning", on_error="continue")))
        assert server.shown == ["Bearer before", "Bearer after"]
        await rows.delete(lab.tenant, row.id)
        await asyncio.sleep(REMEMBER_S)
        ended = await lab.run(graph(fetch(server, "turning")))
        assert len(server.shown) == 2
    assert REMEMBER_S < 5
    assert ended.error is not None
    assert ended.error["code"] == "ACCESS_DENIED"


async def test_ciphertext_of_another_credential_fails_closed(lab: Lab) -> None:
    other = await keep(lab, "rich", "bearer", {"token": "another-secret"})
    swapped = sealed_of(other)
    new = NewCredential(id=uuid4(), name="poor", type="bearer", allowed_hosts=HOSTS)
    await Credentials(lab.stack.runtime.database).create(lab.tenant, new, swapped)
    async with running_token_server() as server:
        ended = await lab.run(graph(fetch(server, "poor")))
        assert server.shown == []
    assert ended.error is not None
    assert (ended.error["code"], ended.error["details"]) == ("CREDENTIAL_UNREADABLE", {"credential": "poor"})


async def test_tenants_connection_must_pass_the_guard(lab: Lab) -> None:
    url = "postgresql://reader:some-password@10.255.255.1/books"
    await keep(lab, "books", "connection", {"url": url}, ())
    node = {"id": "read", "type": "database", "params": {"query": "SELECT 1"}, "credential": "books"}
    ended = await lab.run(graph(node))
    assert ended.error is not None
    assert ended.error["code"] == "BLOCKED_ADDRESS"


async def test_expired_token_is_renewed_once_within_the_attempt(lab: Lab) -> None:
    async with running_token_server() as server:
        fields = {"token_url": server.token_url, "client_id": server.client_id, "client_secret": server.client_secret}
        await keep(lab, "crm", "oauth2_client_credentials", fields)
        first = await lab.run(graph(fetch(server, "crm")))
        server.forms.append({})  # the server knows a newer token now
        second = await lab.run(graph(fetch(server, "crm")))
        assert (first.status, second.status) == ("success", "success")
        assert second.nodes["fetch"].attempts == 1
        assert server.shown == ["Bearer token-1", "Bearer token-1", "Bearer token-3"]
        assert (await second.output_of("fetch"))["body"] == {"you sent": "Bearer token-3"}, "too short to be masked"
