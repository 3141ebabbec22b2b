"""Credentials over HTTP: written, used, and never read."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.api_keys import ApiKeys
from models.repositories.credentials import Credentials, binding_of, sealed_of
from models.tenancy import TenantId
from tests.api.conftest import caller, document

pytestmark = pytest.mark.asyncio(loop_scope="session")
CANARY = "canary-90c1f7aa-credential"
HOSTS = ["api.example.org"]
FIELDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "api_key": ({"value": CANARY, "header": "x-key"}, HOSTS),
    "bearer": ({"token": CANARY}, HOSTS),
    "basic": ({"username": "books", "password": CANARY}, HOSTS),
    "hmac": ({"secret": CANARY}, []),
    "connection": ({"url": f"postgresql://reader:{CANARY}@db.example/books"}, []),
    "smtp": ({"host": "mail.example", "port": 587, "password": CANARY}, []),
    "oauth2_client_credentials": (
        {"token_url": "https://id.example/token", "client_id": "us", "client_secret": CANARY, "scopes": ["read"]},
        HOSTS,
    ),
}


def credential(kind: str = "bearer", **more: Any) -> dict[str, Any]:
    fields, hosts = FIELDS[kind]
    return {"name": f"c-{uuid4().hex[:8]}", "type": kind, "fields": fields, "allowed_hosts": hosts, **more}


async def made(api: httpx2.AsyncClient, kind: str = "bearer", **more: Any) -> dict[str, Any]:
    answer = await api.post("/credentials", json=credential(kind, **more))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def publish_with(api: httpx2.AsyncClient, name: str, **query: str) -> dict[str, Any]:
    nodes = [{"id": "a", "type": "http", "params": {"url": "https://api.example.org/"}, "credential": name}]
    given = document(nodes=nodes, edges=[])
    answer = await api.post("/workflows", json={"document": given}, params=query)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize("kind", FIELDS)
async def test_every_type_is_stored_sealed_and_never_shown(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId, kind: str
) -> None:
    given = credential(kind)
    answer = await api.post("/credentials", json=given)
    assert answer.status_code == 201, answer.text
    known = answer.json()
    assert answer.headers["location"] == f"/api/v1/credentials/{known['id']}"
    assert (known["version"], known["type"], known["allowed_hosts"]) == (1, kind, given["allowed_hosts"])
    read = await api.get(f"/credentials/{known['id']}")
    listed = await api.get("/credentials", params={"limit": 500})
    assert read.json() == known
    assert known in listed.json()["items"]
    assert CANARY not in answer.text + read.text + listed.text
    row = (await Credentials(resources.database).named(tenant, [given["name"]]))[given["name"]]
    assert CANARY.encode() not in row.ciphertext
    assert resources.keys.ring().open(sealed_of(row), binding_of(row)) == given["fields"]


async def test_types_are_published_with_what_each_needs(api: httpx2.AsyncClient) -> None:
    items = {item["type"]: item for item in (await api.get("/credentials/types")).json()["items"]}
    assert items.keys() == FIELDS.keys()
    assert items["bearer"]["fields"]["properties"]["token"]["writeOnly"] is True
    assert items["basic"]["fields"]["required"] == ["username", "password"]
    needing = {kind for kind, item in items.items() if item["needs_hosts"]}
    assert needing == {"api_key", "bearer", "basic", "oauth2_client_credentials"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"type": "magic"}, "body.type"),
        ({"fields": {"tokn": CANARY}}, "body.fields"),
        ({"fields": {}}, "body.fields"),
        ({"fields": {"token": 4711}}, "body.fields.token"),
        ({"fields": {"token": "abc"}}, "body.fields.token"),
        ({"fields": {"token": CANARY, "trusted": True}}, "body.fields"),
        ({"allowed_hosts": []}, "body.allowed_hosts"),
        ({"allowed_hosts": ["https://api.example.org"]}, "body.allowed_hosts[0]"),
        ({"allowed_hosts": ["*"]}, "body.allowed_hosts[0]"),
        ({"allowed_hosts": ["*.org"]}, "body.allowed_hosts[0]"),
        ({"name": ""}, "body.name"),
        ({"trusted": True}, "body.trusted"),
        ({"owner_id": str(uuid4())}, "body.owner_id"),
        ({"version": 7}, "body.version"),
    ],
)
async def test_mistakes_are_named_without_the_secret(
    api: httpx2.AsyncClient, change: dict[str, Any], path: str
) -> None:
    answer = await api.post("/credentials", json=credential(**change))
    assert answer.status_code == 422
    assert path in [issue["path"] for issue in answer.json()["issues"]]
    assert CANARY not in answer.text


async def test_name_is_taken_once(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    known = await made(api)
    answer = await api.post("/credentials", json=credential(name=known["name"]))
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")
    await made(stranger, name=known["name"])


async def test_name_of_an_operators_credential_is_taken(api: httpx2.AsyncClient, resources: Resources) -> None:
    path = resources.settings.credentials_file
    path.write_text("operators-own: {type: bearer, token: something}\n")
    path.chmod(0o600)
    try:
        answer = await api.post("/credentials", json=credential(name="operators-own"))
    finally:
        path.unlink()
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")


async def test_replacing_makes_the_next_version_and_forgets_the_old(
    api: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    known = await made(api)
    body = {"fields": {"token": "another-secret"}, "allowed_hosts": ["*.example.org"], "version": 1}
    answer = await api.put(f"/credentials/{known['id']}", json=body)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    row = await Credentials(resources.database).get(tenant, UUID(known["id"]))
    assert resources.keys.ring().open(sealed_of(row), binding_of(row)) == {"token": "another-secret"}
    stale = await api.put(f"/credentials/{known['id']}", json=body)
    assert (stale.status_code, stale.json()["code"]) == (412, "VERSION_CONFLICT")
    unbound = await api.put(f"/credentials/{known['id']}", json={"fields": {"token": "third-secret"}})
    assert unbound.status_code == 422


async def test_hosts_cannot_be_changed_without_the_secret(api: httpx2.AsyncClient) -> None:
    known = await made(api)
    answer = await api.patch(f"/credentials/{known['id']}", json={"allowed_hosts": ["evil.example.org"]})
    assert answer.status_code == 422
    assert (await api.get(f"/credentials/{known['id']}")).json() == known


async def test_description_and_sharing_change_without_a_new_version(api: httpx2.AsyncClient) -> None:
    known, user = await made(api), str(uuid4())
    changes = {"description": "For orders", "for_all_members": False, "users": [user]}
    answer = await api.patch(f"/credentials/{known['id']}", json=changes)
    assert answer.status_code == 200
    changed = answer.json()
    assert {key: changed[key] for key in changes} == changes
    assert changed["version"] == 1


async def test_uses_are_shown_and_keep_a_credential_from_being_deleted(api: httpx2.AsyncClient) -> None:
    known = await made(api)
    workflow = await publish_with(api, known["name"])
    model = {"name": f"m-{uuid4().hex[:8]}", "provider": "openai", "model": "m", "credential": known["name"]}
    assert (await api.post("/ai-models", json=model)).status_code == 201
    uses = (await api.get(f"/credentials/{known['id']}")).json()["uses"]
    assert [(use["id"], use["published"]) for use in uses["workflows"]] == [(workflow["id"], True)]
    assert uses["ai_models"] == [model["name"]]
    answer = await api.delete(f"/credentials/{known['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "CREDENTIAL_IN_USE")
    assert answer.json()["details"]["workflows"] == [{"id": workflow["id"], "name": workflow["name"]}]
    assert (await api.delete(f"/credentials/{known['id']}", params={"force": True})).status_code == 204
    assert (await api.get(f"/credentials/{known['id']}")).status_code == 404


async def test_closed_credential_is_refused_under_a_name_that_workflows_hold(api: httpx2.AsyncClient) -> None:
    name = f"c-{uuid4().hex[:8]}"
    await publish_with(api, name, publish="false")
    closed = credential(name=name, for_all_members=False)
    answer = await api.post("/credentials", json=closed)
    assert (answer.status_code, answer.json()["code"]) == (409, "CREDENTIAL_IN_USE")
    assert (await api.post("/credentials", json=closed, params={"force": True})).status_code == 201


async def test_another_tenants_credential_answers_404(api: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    known = await made(api)
    place = f"/credentials/{known['id']}"
    replacement = {"fields": {"token": "stolen-name"}, "allowed_hosts": HOSTS}
    answers = [
        await stranger.get(place),
        await stranger.put(place, json=replacement),
        await stranger.patch(place, json={"description": "mine"}),
        await stranger.delete(place),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert known["id"] not in (await stranger.get("/credentials", params={"limit": 500})).text


@pytest.mark.parametrize(("scope", "statuses"), [("credential:read", (200, 403)), ("workflow:*", (403, 403))])
async def test_keys_need_the_scope(
    app: FastAPI, resources: Resources, tenant: TenantId, scope: str, statuses: tuple[int, int]
) -> None:
    _, secret = await ApiKeys(resources.database).create(tenant, "scoped", scopes=(scope,))
    async with caller(app, secret) as client:
        read, write = await client.get("/credentials"), await client.post("/credentials", json=credential())
    assert (read.status_code, write.status_code) == statuses


async def test_export_holds_the_name_alone(api: httpx2.AsyncClient) -> None:
    known = await made(api)
    workflow = await publish_with(api, known["name"])
    text = (await api.get(f"/workflows/{workflow['id']}")).text
    assert known["name"] in text
    assert CANARY not in text
