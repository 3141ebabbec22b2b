"""Another tenant's things are not there: by id on every route that takes one, by name, and in every list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.ids import new_id
from models.repositories.api_keys import ApiKeys
from models.repositories.notifications import Draft, Notifications
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller, document
from tests.api.members import make_member, make_target
from tests.api.test_permission_matrix import BODIES, PREFIX, QUERIES, ROWS, routes_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
CANARY = f"canary-{uuid4().hex[:10]}"  # in the name of everything that the victim has
# What gets past the checks of shape, so that the answer is about the id.
SHAPES: dict[str, Any] = BODIES | {
    "PATCH /users/{user_id}": {"role": "member"},
    "PATCH /folders/{folder_id}": {"name": "x"},
    "POST /templates/{template_id}/use": {"name": "x"},
    "PUT /ai-models/{model_id}": {"name": "x", "provider": "openai", "model": "x"},
    "PUT /budgets/{budget_id}": {"tokens": 1},
    "PUT /credentials/{credential_id}": {"fields": {"token": "token-of-theirs"}, "allowed_hosts": ["a.example"]},
    "PATCH /credentials/{credential_id}": {"description": "x"},
    "PUT /notification-rules/{rule_id}": {"name": "x", "on": ["failed"], "via": "email", "to": ["a@shop.example"]},
}
# Ids of the caller's own, or of nobody: these routes are not about a thing of a tenant.
NOT_ABOUT_A_TENANT = {"GET /node-types/{name}", "GET /executions/{shown}", "GET /approvals/{asked}"}


@dataclass(slots=True)
class Two:
    """A victim with one of everything, and a stranger who may do all that an administrator of another tenant may."""

    victim: httpx2.AsyncClient
    strangers: dict[str, httpx2.AsyncClient]
    ids: dict[str, str]


async def made(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> str:
    answer = await client.post(path, json=body)
    assert answer.status_code in (201, 202), f"{path}: {answer.text}"
    return str(answer.json()["id"])


async def belongings(client: httpx2.AsyncClient, resources: Resources, tenant: TenantId) -> dict[str, str]:
    """One of everything, by the names of the routes' parameters."""
    somebody = await make_member(resources, tenant)
    target = await make_target(resources, tenant, somebody.id, {})
    workflow = str(target.workflow_id)
    credential = {
        "name": CANARY,
        "type": "bearer",
        "fields": {"token": "token-of-theirs"},
        "allowed_hosts": ["a.example"],
    }
    rule = {"name": CANARY, "on": ["failed"], "via": "email", "to": ["a@shop.example"]}
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    (notice,) = await Notifications(resources.database).add(
        tenant, uuid4(), [Draft("failed", "email", f"{CANARY}@shop.example", {"event": "failed"})]
    )
    return {
        "workflow_id": workflow,
        "execution_id": str(target.execution_id),
        "approval_id": str(target.approval_id),
        "schedule_id": str(target.schedule_id),
        "share_id": await made(client, f"/workflows/{workflow}/shares", {"role": "viewer", "expires_at": expires}),
        "user_id": str(somebody.id),
        "member": str(somebody.id),
        "session_id": str(resources.tokens.read(somebody.token).session_id),
        "key_id": await made(client, "/api-keys", {"name": CANARY, "scopes": ["workflow:read"]}),
        "folder_id": await made(client, "/folders", {"name": CANARY}),
        "template_id": await made(client, "/templates", {"workflow_id": workflow, "name": CANARY}),
        "model_id": await made(client, "/ai-models", {"name": CANARY, "provider": "openai", "model": "x"}),
        "budget_id": await made(client, "/budgets", {"period": "total", "tokens": 1}),
        "credential_id": await made(client, "/credentials", credential),
        "rule_id": await made(client, "/notification-rules", rule),
        "notification_id": str(notice.id),
        "event_id": await made(client, "/events", {"type": "order.created", "source": CANARY}),
        "message_id": await parked(resources, tenant),
    }


async def parked(resources: Resources, tenant: TenantId) -> str:
    async with resources.database.transaction(tenant) as transaction:
        message = new_id()
        await transaction.execute(
            """INSERT INTO outbox (tenant_id, id, kind, payload, parked_at, failure)
               VALUES ($1, $2, 'event.published', '{}', now(), $3)""",
            tenant.uuid, message, CANARY,
        )  # fmt: skip
    return str(message)


async def fresh_tenant(resources: Resources) -> tuple[TenantId, str]:
    tenant = mint_tenant(uuid4())
    await Tenants(resources.database).ensure(tenant, f"cross {tenant}")
    _, secret = await ApiKeys(resources.database).create(tenant, "all", scopes=("*",))
    return tenant, secret


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(app: FastAPI, resources: Resources) -> AsyncIterator[Two]:
    victim, secret = await fresh_tenant(resources)
    other, key = await fresh_tenant(resources)
    admin = await make_member(resources, other, "admin")
    async with (
        caller(app, secret) as client,
        caller(app, key) as by_key,
        caller(app, admin.token) as in_person,
    ):
        yield Two(client, {"key": by_key, "admin": in_person}, await belongings(client, resources, victim))


def filled(route: str, ids: dict[str, str]) -> str:
    given = {**ids, "number": "1", "path": "double"}
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: given.get(found[1], str(uuid4())), route.partition(" ")[2])
    return f"http://api{PREFIX}{path}{QUERIES.get(route, '')}"


async def answer_to(client: httpx2.AsyncClient, route: str, ids: dict[str, str]) -> httpx2.Response:
    method = route.partition(" ")[0]
    body = None if method in ("GET", "DELETE") else SHAPES.get(route, {})
    return await client.request(method, filled(route, ids), json=body)


def routes_with_ids() -> list[str]:
    return [
        route
        for route, row in ROWS.items()
        if "{" in route and row.least != "public" and not route.startswith("WS") and route not in NOT_ABOUT_A_TENANT
    ]


async def test_an_id_of_another_tenant_is_answered_404_on_every_route(two: Two) -> None:
    found: dict[str, int] = {}
    for route in routes_with_ids():
        for who, client in two.strangers.items():
            answer = await answer_to(client, route, two.ids)
            # What only a person does is refused to keys before any id is looked at.
            if answer.status_code != 404 and not (who == "key" and ROWS[route].least == "herself"):
                found[f"{route} by {who}: {answer.text[:200]}"] = answer.status_code
            assert CANARY not in answer.text, route
    assert found == {}


async def test_the_answer_to_an_id_of_another_tenant_is_that_to_an_id_of_nobody(two: Two) -> None:
    """But for the id itself, so that nobody learns which ids there are."""
    nobody = {name: str(UUID(int=uuid4().int)) for name in two.ids}
    for route in routes_with_ids():
        theirs, nothing = [await answer_to(two.strangers["admin"], route, ids) for ids in (two.ids, nobody)]
        assert _without_ids(theirs.text) == _without_ids(nothing.text), route


def _without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "ID", text)


async def test_the_ids_are_those_of_things_that_there_are(two: Two) -> None:
    """Otherwise the tests above would tell nothing."""
    for route in routes_with_ids():
        if route.startswith("GET ") and "{" in route and ROWS[route].least != "herself":
            answer = await answer_to(two.victim, route, two.ids)
            assert answer.status_code != 404 or "/hooks/test/" in route or "/diff" in route, f"{route}: {answer.text}"
    assert {name for route in routes_with_ids() for name in re.findall(r"\{(\w+)", route)} <= {
        *two.ids,
        "number",
        "path",
    }


async def test_no_list_shows_what_is_another_tenants(app: FastAPI, two: Two) -> None:
    lists = [
        route
        for route, row in ROWS.items()
        if route.startswith("GET /") and "{" not in route and row.least != "public" and route in routes_of(app)
    ]
    shown = 0
    for route in lists:
        mine = await two.victim.get(filled(route, two.ids))
        shown += CANARY in mine.text
        for client in two.strangers.values():
            answer = await client.get(filled(route, two.ids))
            assert CANARY not in answer.text, route
            # The log of refused tries shows the ids that the stranger itself has tried, in the tests above.
            ids = () if route == "GET /audit" else two.ids.values()
            assert not [value for value in ids if value in answer.text], route
    assert shown >= 7, "the victim sees them"


async def test_a_name_of_another_tenant_means_nothing(two: Two) -> None:
    stranger, name = two.strangers["admin"], two.ids["workflow_id"]
    (workflow,) = [item["name"] for item in (await two.victim.get("/workflows")).json()["items"] if item["id"] == name]
    uses = {"id": "a", "type": "http", "params": {"url": "https://a.example/"}, "credential": CANARY}
    calls = {"id": "a", "type": "workflow", "params": {"workflow": workflow}}
    for node in (uses, calls):
        body = {"document": document(nodes=[{"id": "start", "type": "manual"}, node], edges=[])}
        theirs = await stranger.post("/workflows", json=body, params={"on_conflict": "fail"})
        body["document"] = document(nodes=[{"id": "start", "type": "manual"}, {**node, **_of_nobody(node)}], edges=[])
        nothing = await stranger.post("/workflows", json=body, params={"on_conflict": "fail"})
        assert theirs.status_code == nothing.status_code
    # The names are free for others, whoever has them.
    for path, body in (
        ("/folders", {"name": CANARY}),
        ("/ai-models", {"name": CANARY, "provider": "openai", "model": "x"}),
        ("/workflows", {"document": document(workflow)}),
    ):
        mine = await made(stranger, path, body)
        assert (await stranger.get(f"{path}/{mine}")).status_code == 200
        assert (await stranger.delete(f"{path}/{mine}")).status_code == 204
    unchanged = await two.victim.get(f"/workflows/{two.ids['workflow_id']}")
    assert (unchanged.status_code, unchanged.json()["name"]) == (200, workflow)


def _of_nobody(node: dict[str, Any]) -> dict[str, Any]:
    nobody = f"nobody-{uuid4().hex[:8]}"
    return {"credential": nobody} if "credential" in node else {"params": {"workflow": nobody}}


@pytest.mark.parametrize("given", ["tenant", "tenant_id", "id", "owner", "created_at", "key_id"])
async def test_no_body_says_whose_something_is(two: Two, given: str) -> None:
    stranger = two.strangers["admin"]
    for path, body in (
        ("/folders", {"name": "mine"}),
        ("/ai-models", {"name": "mine", "provider": "openai", "model": "x"}),
        ("/budgets", {"period": "total", "tokens": 1}),
        ("/api-keys", {"name": "mine", "scopes": ["workflow:read"]}),
        ("/workflows", {"document": document()}),
    ):
        answer = await stranger.post(path, json={**body, given: two.ids["workflow_id"]})
        assert answer.status_code == 422, f"{path}: {answer.text}"
