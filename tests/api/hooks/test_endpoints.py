"""Webhooks as the world calls them: found, called, answered."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.resources import Resources
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.repositories.executions import Executions
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller, document
from tests.api.hooks.calling import SECRET, credential, fresh_path, hooked, publish, signed, url_of
from tests.api.members import make_member

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody whom nobody knows."""
    async with caller(app, None) as client:
        yield client


async def _input(resources: Resources, tenant: TenantId, answer: httpx2.Response) -> Any:
    assert answer.status_code == 202, answer.text
    row = await Executions(resources.database).get(tenant, UUID(answer.json()["execution_id"]))
    assert row.trigger == "webhook"
    assert row.trigger_node == "hook"
    return await resources.values.load(tenant, row.input or {})


async def test_a_call_starts_the_published_version_and_gives_the_call_as_input(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    path = fresh_path()
    await publish(api, hooked(path))
    headers = {"X-Kind": "paid", "Authorization": "Bearer mine", "Cookie": "a=b", "X-Hub-Signature-256": "sha256=x"}
    answer = await world.post(url_of(path) + "?a=1&b=2&b=3", json={"n": 1}, headers=headers)

    given = await _input(resources, tenant, answer)
    assert answer.headers["location"] == f"/api/v1/executions/{answer.json()['execution_id']}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (given["method"], given["path"], given["query"]) == ("POST", path, {"a": "1", "b": ["2", "3"]})
    assert given["body"] == {"n": 1}
    assert given["headers"]["x-kind"] == "paid"
    assert {"authorization", "cookie", "x-hub-signature-256"}.isdisjoint(given["headers"])


async def test_the_tenant_is_named_by_its_id_or_its_name(
    app: FastAPI, world: httpx2.AsyncClient, resources: Resources
) -> None:
    other, path = mint_tenant(uuid4()), fresh_path()
    await Tenants(resources.database).ensure(other, f"shop {other}")
    _, secret = await ApiKeys(resources.database).create(other, "k", scopes=("*",))
    async with caller(app, secret) as theirs:
        await publish(theirs, hooked(path))
    found = [await world.post(url_of(path, whose)) for whose in (other, f"shop {other}")]
    assert [answer.status_code for answer in found] == [202, 202]
    assert (await world.post(url_of(path))).status_code == 404  # of the first tenant there is none


@pytest.mark.parametrize("turn", ["pause", "archive", "unpublish"])
async def test_what_may_not_start_is_not_there_from_that_moment_on(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, turn: str
) -> None:
    path = fresh_path()
    saved = await publish(api, hooked(path))
    assert (await world.post(url_of(path))).status_code == 202
    assert (await api.post(f"/workflows/{saved['id']}/{turn}")).status_code == 200
    gone, never = await world.post(url_of(path)), await world.post(url_of(fresh_path()))
    assert gone.status_code == 404
    assert gone.json() == never.json()
    back = {"pause": "resume", "archive": "restore", "unpublish": "versions/1/publish"}[turn]
    assert (await api.post(f"/workflows/{saved['id']}/{back}")).status_code == 200
    assert (await world.post(url_of(path))).status_code == 202


async def test_a_new_version_counts_at_once_and_a_draft_not_at_all(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient
) -> None:
    first, second, third = (fresh_path() for _ in range(3))
    given = hooked(first)
    saved = await publish(api, given)

    async def save(path: str, **query: str) -> None:
        changed = {**hooked(path), "name": given["name"]}
        answer = await api.put(f"/workflows/{saved['id']}", json={"document": changed}, params=query)
        assert answer.status_code == 200, answer.text

    await save(second)
    await save(third, publish="false")
    found = [(await world.post(url_of(path))).status_code for path in (first, second, third)]
    assert found == [404, 202, 404]


async def test_another_method_is_told_which_are_taken(api: httpx2.AsyncClient, world: httpx2.AsyncClient) -> None:
    path = fresh_path()
    await publish(api, hooked(path, method="PUT"))
    await publish(api, hooked(path, method="GET"))
    answer = await world.post(url_of(path))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT")
    assert (await world.get(url_of(path))).status_code == 202


async def test_an_address_belongs_to_one_workflow_of_a_tenant(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    path = fresh_path()
    saved = await publish(api, hooked(path))
    late = hooked(path)
    for query in ({}, {"publish": "false"}):
        answer = await api.post("/workflows", json={"document": late}, params=query)
        if not query:
            assert (answer.status_code, answer.json()["code"]) == (409, "WEBHOOK_TAKEN")
            assert answer.json()["details"] == {"method": "POST", "path": path}
    second = answer.json()["id"]
    await api.post(f"/workflows/{saved['id']}/pause")
    assert (await api.post(f"/workflows/{second}/versions/1/publish")).status_code == 409  # a paused one keeps its own
    await api.post(f"/workflows/{saved['id']}/archive")
    assert (await api.post(f"/workflows/{second}/versions/1/publish")).status_code == 200
    back = await api.post(f"/workflows/{saved['id']}/restore")
    assert (back.status_code, back.json()["code"]) == (409, "WEBHOOK_TAKEN")
    await publish(stranger, hooked(path))  # another tenant's addresses are its own


async def test_of_two_that_publish_one_address_at_once_one_does(api: httpx2.AsyncClient) -> None:
    path = fresh_path()
    answers = await asyncio.gather(*(api.post("/workflows", json={"document": hooked(path)}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-GitHub-Delivery", "webhook-id"])
async def test_ten_deliveries_at_once_are_one_execution_and_answered_alike(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, header: str
) -> None:
    path, headers = fresh_path(), {header: uuid4().hex}
    saved = await publish(api, hooked(path))
    answers = await asyncio.gather(*(world.post(url_of(path), json={"n": 1}, headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    listed = await api.get("/executions", params={"workflow_id": saved["id"]})
    assert len(listed.json()["items"]) == 1
    other = await world.post(url_of(path), json={"n": 2}, headers=headers)
    assert other.status_code == 409


async def test_ten_signed_tries_of_one_delivery_are_one_execution(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient
) -> None:
    name, path = await credential(api, "hmac", secret=SECRET), fresh_path()
    saved = await publish(api, hooked(path, credential=name, auth="hmac"))
    body, message_id = b'{"n":1}', f"msg_{uuid4().hex}"
    tries = [signed(body, age_s=age, message_id=message_id) for age in range(10)]
    answers = await asyncio.gather(*(world.post(url_of(path), content=body, headers=one.headers()) for one in tries))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert len((await api.get("/executions", params={"workflow_id": saved["id"]})).json()["items"]) == 1


BODIES: dict[str, tuple[bytes, dict[str, str], Any]] = {
    "json": (b'{"a": [1, null]}', {"content-type": "application/json"}, {"a": [1, None]}),
    "json of a kind": (b'"x"', {"content-type": "application/cloudevents+json"}, "x"),
    "form": (b"a=1&b=%C3%A9&b=", {"content-type": "application/x-www-form-urlencoded"}, {"a": "1", "b": ["é", ""]}),
    "text": ("grün".encode("latin-1"), {"content-type": "text/plain; charset=iso-8859-1"}, "grün"),
    "bytes": (b"\x00\xff", {"content-type": "application/octet-stream"}, {"base64": "AP8="}),
    "no type": (b"raw", {}, {"base64": base64.b64encode(b"raw").decode()}),
    "nothing": (b"", {"content-type": "application/json"}, None),
    "gzip": (gzip.compress(b'{"a":1}'), {"content-type": "application/json", "content-encoding": "gzip"}, {"a": 1}),
    "deflate": (zlib.compress(b"1"), {"content-type": "application/json", "content-encoding": "deflate"}, 1),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_becomes_data_by_its_type(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, resources: Resources, tenant: TenantId, kind: str
) -> None:
    path = fresh_path()
    await publish(api, hooked(path))
    raw, headers, expected = BODIES[kind]
    answer = await world.post(url_of(path), content=raw, headers=headers)
    assert (await _input(resources, tenant, answer))["body"] == expected


async def test_files_of_a_multipart_call_are_objects_of_their_own(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, resources: Resources, tenant: TenantId
) -> None:
    path, data = fresh_path(), b"\x89PNG" + bytes(60_000)
    await publish(api, hooked(path))
    files = {"picture": ("a.png", data, "image/png")}
    answer = await world.post(url_of(path), data={"title": "sea"}, files=files)
    given = await _input(resources, tenant, answer)
    assert given["body"]["title"] == "sea"
    assert given["body"]["picture"] == {
        "filename": "a.png",
        "content_type": "image/png",
        "bytes": len(data),
        "content": {"base64": base64.b64encode(data).decode()},
    }
    row = await Executions(resources.database).get(tenant, UUID(answer.json()["execution_id"]))
    assert "r" in (row.input or {})["o"]["body"]["o"]["picture"]["o"]["content"]


JSON = {"content-type": "application/json"}
REFUSED: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no JSON": (b"{", JSON, 400),
    "a key twice": (b'{"a":1,"a":2}', JSON, 422),
    "bottomless": (b"[" * 50_000 + b"]" * 50_000, JSON, 422),
    "no gzip": (b"x", {**JSON, "content-encoding": "gzip"}, 400),
    "half a gzip": (gzip.compress(b"[1]")[:-9], {**JSON, "content-encoding": "gzip"}, 400),
    "another encoding": (b"x", {**JSON, "content-encoding": "br"}, 415),
    "many encodings": (b"x", {**JSON, "content-encoding": "gzip,gzip,gzip"}, 415),
    "a bomb": (gzip.compress(bytes(9_000_000)), {**JSON, "content-encoding": "gzip"}, 413),
    "a bomb in a bomb": (gzip.compress(gzip.compress(bytes(90_000_000))), {"content-encoding": "gzip, gzip"}, 413),
    "too large": (bytes(300_001), {}, 413),
    "a costly charset": (b"x" * 1000, {"content-type": "text/plain; charset=punycode"}, 415),
    "many fields": (b"&".join([b"a=1"] * 1001), {"content-type": "application/x-www-form-urlencoded"}, 413),
    "no boundary": (b"x", {"content-type": "multipart/form-data"}, 400),
    "no UTF-8": (b"\xff", {"content-type": "text/plain"}, 400),
    "a NUL": (b"a\x00b", {"content-type": "text/plain"}, 422),
    "a long key": (b"", {"idempotency-key": "x" * 256}, 422),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_body_that_cannot_be_read_starts_nothing(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, kind: str
) -> None:
    path = fresh_path()
    saved = await publish(api, hooked(path))
    raw, headers, status = REFUSED[kind]
    answer = await world.post(url_of(path), content=raw, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.get("/executions", params={"workflow_id": saved["id"]})).json()["items"] == []


async def test_the_call_must_fit_the_inputs_of_the_workflow(api: httpx2.AsyncClient, world: httpx2.AsyncClient) -> None:
    path = fresh_path()
    inputs = {"type": "object", "properties": {"body": {"type": "object", "required": ["total"]}}}
    await publish(api, hooked(path) | {"inputs": inputs})
    answer = await world.post(url_of(path), json={"n": 1})
    assert (answer.status_code, answer.json()["issues"][0]["path"]) == (422, "input.body.total")


async def test_the_workflows_outputs_can_be_the_answer(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, worker: None
) -> None:
    path = fresh_path()
    await publish(api, hooked(path, response="result"))
    answer = await world.post(url_of(path), json={"n": 3})
    assert answer.status_code == 200, answer.text
    assert answer.json()["got"]["body"] == {"n": 3}


async def test_a_node_may_say_status_headers_and_body(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, worker: None
) -> None:
    path = fresh_path()
    await publish(api, hooked(path, response="node", response_node="echo"))
    said = {"status": 201, "headers": {"X-Made": "1", "Content-Type": "text/html"}, "body": "<b>yes</b>"}
    answer = await world.post(url_of(path), json=said)
    assert (answer.status_code, answer.text, answer.headers["x-made"]) == (201, "<b>yes</b>", "1")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-security-policy"] == "sandbox"
    plain = await world.post(url_of(path), json={"status": "paid", "total": 3})
    assert (plain.status_code, plain.json()) == (200, {"status": "paid", "total": 3})
    refused = await world.post(url_of(path), json={"headers": {"Set-Cookie": "a=b"}})
    assert (refused.status_code, refused.json()["code"]) == (502, "WEBHOOK_ANSWER")


async def test_a_node_answers_before_the_execution_ends(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, worker: None
) -> None:
    path = fresh_path()
    given = hooked(path, response="node", response_node="echo")
    given["nodes"].append({"id": "later", "type": "delay", "params": {"delay": "1h"}})
    given["edges"].append({"source": "echo", "target": "later"})
    await publish(api, given)
    answer = await world.post(url_of(path), json={"body": {"n": 1}})
    assert (answer.status_code, answer.json()) == (200, {"n": 1})
    execution = answer.headers["location"].rpartition("/")[2]
    assert (await api.get(f"/executions/{execution}")).json()["status"] == "running"
    await api.post(f"/executions/{execution}/cancel")


async def test_a_late_answer_names_the_execution_that_goes_on(
    settings: Settings, resources: Resources, api: httpx2.AsyncClient, worker: None
) -> None:
    path = fresh_path()
    given = hooked(path, response="result")
    given["nodes"].append({"id": "later", "type": "delay", "params": {"delay": "1h"}})
    given["edges"].append({"source": "echo", "target": "later"})
    await publish(api, given)
    hurried = settings.override({"hooks": {"wait_s": 0.5}})
    async with caller(create_app(hurried, _with(resources, hurried)), None) as world:
        answer = await world.post(url_of(path), json={})
    assert (answer.status_code, answer.json()["code"]) == (504, "WEBHOOK_LATE")
    execution = answer.json()["details"]["execution_id"]
    assert (await api.get(f"/executions/{execution}")).json()["status"] in ("pending", "running")
    await api.post(f"/executions/{execution}/cancel")


async def test_a_failed_execution_is_told_without_its_reason(
    api: httpx2.AsyncClient, world: httpx2.AsyncClient, worker: None
) -> None:
    for more in ({"response": "result"}, {"response": "node", "response_node": "echo"}):
        path = fresh_path()
        given = hooked(path, **more)
        given["nodes"][1]["params"]["mapping"] = {"x": "{{ nodes.hook.output.body.missing_secret }}"}
        await publish(api, given)
        answer = await world.post(url_of(path), json={"n": 1})
        assert (answer.status_code, answer.json()["code"]) == (502, "WEBHOOK_FAILED")
        assert "missing_secret" not in answer.text


async def test_calls_past_the_limit_of_a_path_are_told_when_to_come_again(
    settings: Settings, resources: Resources, api: httpx2.AsyncClient
) -> None:
    path, other = fresh_path(), fresh_path()
    await publish(api, hooked(path))
    await publish(api, hooked(other))
    few = settings.override({"hooks": {"per_path": "3/day"}})
    async with caller(create_app(few, _with(resources, few)), None) as world:
        found = [await world.post(url_of(path)) for _ in range(5)]
        assert [answer.status_code for answer in found] == [202, 202, 202, 429, 429]
        assert int(found[-1].headers["retry-after"]) > 0
        assert (await world.post(url_of(other))).status_code == 202


async def test_a_quota_that_is_used_up_is_told_without_whose_it_is(
    app: FastAPI, world: httpx2.AsyncClient, resources: Resources
) -> None:
    whose, path = mint_tenant(uuid4()), fresh_path()
    await Tenants(resources.database).ensure(whose, f"small {whose}")
    _, secret = await ApiKeys(resources.database).create(whose, "k", scopes=("*",))
    async with caller(app, secret) as theirs:
        await publish(theirs, hooked(path))
        rule = {"kind": "executions", "period": "day", "limit": 1}
        answer = await theirs.put("/quotas", json=rule)
        assert answer.status_code in (200, 201), answer.text
    found = [await world.post(url_of(path, whose)) for _ in range(2)]
    assert [answer.status_code for answer in found] == [202, 429]
    assert int(found[1].headers["retry-after"]) > 0
    assert set(found[1].json()["details"]) == {"frees_at"}
    assert datetime.fromisoformat(found[1].json()["details"]["frees_at"])


async def test_editors_try_the_latest_version_and_nobody_else_does(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    path = fresh_path()
    owner, viewer, nobody = [await make_member(resources, tenant) for _ in range(3)]
    async with caller(app, owner.secret) as api:
        saved = await publish(api, hooked(path, credential="not-made-yet", auth="bearer"), publish="false")
        tried = await api.post(f"/workflows/{saved['id']}/hooks/test/{path}", json={"n": 1})
        given = await _input(resources, tenant, tried)
        assert given["body"] == {"n": 1}
        assert "authorization" not in given["headers"]
        execution = (await api.get(f"/executions/{tried.json()['execution_id']}")).json()
        assert execution["metadata"] == {"webhook": path, "test": True}
        assert execution["started_by"] == owner.email
        assert (await api.post(f"/workflows/{saved['id']}/hooks/test/other")).status_code == 404
        shared = await api.put(f"/workflows/{saved['id']}/grants/{viewer.id}", json={"role": "viewer"})
        assert shared.status_code == 200, shared.text
    for key, status in ((None, 401), (nobody.secret, 404), (viewer.secret, 403)):
        async with caller(app, key) as other:
            answer = await other.post(f"/workflows/{saved['id']}/hooks/test/{path}", json={})
        assert answer.status_code == status
    async with caller(app, None) as world:
        assert (await world.post(url_of(path))).status_code == 404  # it is no draft's


async def test_the_list_says_where_and_how_to_call(api: httpx2.AsyncClient, tenant: TenantId) -> None:
    path = fresh_path()
    saved = await publish(api, hooked(path, credential="partner", auth="hmac"))
    (hook,) = (await api.get(f"/workflows/{saved['id']}/hooks")).json()["items"]
    assert hook["url"] == f"http://api/hooks/{tenant}/{path}"
    assert hook["test_url"] == f"http://api/api/v1/workflows/{saved['id']}/hooks/test/{path}"
    assert (hook["live"], hook["auth"], hook["credential"], hook["node"]) == (True, "hmac", "partner", "hook")
    assert "webhook-signature" in hook["proof"]
    await api.post(f"/workflows/{saved['id']}/pause")
    assert (await api.get(f"/workflows/{saved['id']}/hooks")).json()["items"][0]["live"] is False
    plain = (await api.post("/workflows", json={"document": document()})).json()
    assert (await api.get(f"/workflows/{plain['id']}/hooks")).json() == {"items": []}


def _with(resources: Resources, settings: Settings) -> Resources:
    from dataclasses import replace

    return replace(resources, settings=settings)
