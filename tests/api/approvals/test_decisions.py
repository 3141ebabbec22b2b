"""Approvals over HTTP: who may decide, what they fill in, and what happens when they are too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.resources import Resources
from models.repositories.api_keys import ApiKeys
from models.tenancy import TenantId
from tests.api.conftest import caller, document

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORM = {
    "type": "object",
    "properties": {"sum": {"type": "number", "minimum": 0}, "note": {"type": "string", "default": "none"}},
    "required": ["sum"],
    "additionalProperties": False,
}


class People:
    """Callers by name, each with an API key of the first tenant."""

    def __init__(self, app: FastAPI, resources: Resources, tenant: TenantId) -> None:
        self._app, self._resources, self._tenant = app, resources, tenant
        self._callers: dict[str, httpx2.AsyncClient] = {}

    async def __call__(self, name: str, scopes: Sequence[str] = ("workflow:run", "execution:read")) -> Any:
        if name not in self._callers:
            keys = ApiKeys(self._resources.database)
            _, secret = await keys.create(self._tenant, name, scopes=scopes)
            self._callers[name] = caller(self._app, secret)
        return self._callers[name]

    async def close(self) -> None:
        for one in self._callers.values():
            await one.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def people(app: FastAPI, resources: Resources, tenant: TenantId, worker: None) -> AsyncIterator[People]:
    opened = People(app, resources, tenant)
    yield opened
    await opened.close()


async def ask(api: httpx2.AsyncClient, **params: Any) -> dict[str, Any]:
    """Start an execution that asks, by this caller; the approval once it is there."""
    nodes = [
        {"id": "ask", "type": "approval", "params": params},
        {"id": "yes", "type": "transform", "params": {"mapping": "{{ nodes.ask.output.form }}"}},
    ]
    edges = [{"source": "ask", "source_port": "approved", "target": "yes"}]
    started = await api.post("/executions", json={"document": document(nodes=nodes, edges=edges, inputs={})})
    assert started.status_code == 202, started.text
    url = f"/approvals?status=open&execution_id={started.json()['id']}"
    async with asyncio.timeout(60):
        while not (items := (await api.get(url)).json()["items"]):  # noqa: ASYNC110  the record has no event
            await asyncio.sleep(0.02)
    return items[0]


async def ended(api: httpx2.AsyncClient, approval: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            execution = (await api.get(f"/executions/{approval['execution_id']}")).json()
            if execution["finished_at"] is not None:
                return execution
            await asyncio.sleep(0.02)


async def test_an_approval_is_listed_and_decided(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api, message="Pay?", form=FORM, timeout="1h")
    ada = await people("ada@example.com")
    decided = await ada.post(f"/approvals/{approval['id']}", json={"decision": "approved", "form": {"sum": 3}})
    execution = await ended(api, approval)
    listed = (await api.get(f"/approvals?execution_id={approval['execution_id']}")).json()["items"]

    assert (approval["status"], approval["message"], approval["form"]) == ("open", "Pay?", FORM)
    assert (approval["path"], approval["iteration"], approval["decisions"]) == ("ask", [], [])
    assert approval["started_by"] == "first key"
    assert approval["deadline"] > approval["created_at"]
    assert decided.status_code == 200, decided.text
    (word,) = decided.json()["decisions"]
    assert (word["by"], word["decision"], word["form"]) == ("ada@example.com", "approved", {"sum": 3, "note": "none"})
    assert execution["status"] == "success"
    assert execution["output"] == {"yes": {"sum": 3, "note": "none"}}
    assert execution["started_by"] == "first key"
    assert [(item["status"], item["decisions"][0]["form"]) for item in listed] == [("approved", None)]


async def test_a_node_is_decided_by_its_path(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api)
    ada = await people("ada@example.com")
    url = f"/executions/{approval['execution_id']}/nodes"
    unknown = await ada.post(f"{url}/nobody/approve", json={"decision": "approved"})
    other_pass = await ada.post(f"{url}/ask/approve", json={"decision": "approved", "iteration": [1]})
    rejected = await ada.post(f"{url}/ask/approve", json={"decision": "rejected", "comment": "no"})
    nodes = (await api.get(url)).json()["items"]
    await ended(api, approval)

    assert (unknown.status_code, unknown.json()["code"]) == (409, "NODE_NOT_WAITING")
    assert (other_pass.status_code, other_pass.json()["code"]) == (409, "NODE_NOT_WAITING")
    assert rejected.json()["status"] == "rejected"
    assert rejected.json()["decisions"][0]["comment"] == "no"
    assert {node["path"] for node in nodes} >= {"ask"}


async def test_a_node_that_asks_shows_as_waiting(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api)
    url = f"/executions/{approval['execution_id']}/nodes?path=ask"
    async with asyncio.timeout(60):
        while not (items := (await api.get(url)).json()["items"]):  # noqa: ASYNC110  the record has no event
            await asyncio.sleep(0.02)
    await api.post(f"/executions/{approval['execution_id']}/cancel")
    await ended(api, approval)

    assert (items[0]["status"], items[0]["attempts"]) == ("waiting", 1)


async def test_who_started_it_may_not_decide_unless_told_so(api: httpx2.AsyncClient, people: People) -> None:
    approval, allowed = await ask(api), await ask(api, allow_self=True)
    refused = await api.post(f"/approvals/{approval['id']}", json={"decision": "approved"})
    taken = await api.post(f"/approvals/{allowed['id']}", json={"decision": "approved"})
    await (await people("ben@example.com")).post(f"/approvals/{approval['id']}", json={"decision": "rejected"})

    assert (refused.status_code, refused.json()["code"]) == (403, "ACCESS_DENIED")
    assert "started" in refused.json()["detail"]
    assert taken.json()["status"] == "approved"


async def test_only_the_approvers_may_decide(api: httpx2.AsyncClient, people: People) -> None:
    name = f"{uuid4().hex[:8]}@example.com"
    approval = await ask(api, approvers=["Ada@Example.com", name, "role:admin"], quorum=2)
    ben, ada, admin = await people("ben@example.com"), await people("ada@example.com"), await people("root", ["*"])
    url = f"/approvals/{approval['id']}"
    refused = await ben.post(url, json={"decision": "approved"})
    first = await ada.post(url, json={"decision": "approved"})
    again = await ada.post(url, json={"decision": "approved"})
    otherwise = await ada.post(url, json={"decision": "rejected"})
    second = await admin.post(url, json={"decision": "approved"})
    repeated = await ada.post(url, json={"decision": "approved"})
    late = await (await people(name)).post(url, json={"decision": "approved"})

    assert (refused.status_code, refused.json()["code"]) == (403, "ACCESS_DENIED")
    assert [(one.status_code, one.json()["status"], len(one.json()["decisions"])) for one in (first, again)] == [
        (200, "open", 1)
    ] * 2
    assert (otherwise.status_code, otherwise.json()["code"]) == (409, "ALREADY_DECIDED")
    assert second.json()["status"] == "approved"
    assert repeated.status_code == 200  # it had been taken
    assert (late.status_code, late.json()["code"]) == (409, "APPROVAL_CLOSED")


async def test_without_the_run_scope_nobody_decides(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api)
    viewer = await people("viewer@example.com", ["execution:read"])
    refused = await viewer.post(f"/approvals/{approval['id']}", json={"decision": "approved"})

    assert refused.status_code == 403
    assert (await viewer.get(f"/approvals/{approval['id']}")).json()["status"] == "open"


@pytest.mark.parametrize(
    ("form", "issue"),
    [
        ({}, ("MISSING_INPUT", "form.sum")),
        ({"sum": -1}, ("INVALID_INPUT", "form.sum")),
        ({"sum": "3"}, ("INVALID_INPUT", "form.sum")),
        ({"sum": 3, "more": 1}, ("UNKNOWN_INPUT", "form.more")),
        ([], ("INVALID_INPUT", "form")),
    ],
)
async def test_a_form_that_does_not_fit_is_refused_with_its_faults(
    api: httpx2.AsyncClient, people: People, form: Any, issue: tuple[str, str]
) -> None:
    approval = await ask(api, form=FORM)
    ada = await people("ada@example.com")
    refused = await ada.post(f"/approvals/{approval['id']}", json={"decision": "approved", "form": form})
    rejected = await ada.post(f"/approvals/{approval['id']}", json={"decision": "rejected"})  # needs no form

    assert refused.status_code == 422
    assert issue in [(found["code"], found["path"]) for found in refused.json()["issues"]]
    assert rejected.json()["status"] == "rejected"


async def test_a_form_nobody_asked_for_is_refused(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api)
    ada = await people("ada@example.com")
    refused = await ada.post(f"/approvals/{approval['id']}", json={"decision": "approved", "form": {"a": 1}})
    await ada.post(f"/approvals/{approval['id']}", json={"decision": "rejected"})

    assert [found["path"] for found in refused.json()["issues"]] == ["form"]


async def test_after_the_end_nobody_decides(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api)
    await api.post(f"/executions/{approval['execution_id']}/cancel")
    await ended(api, approval)
    ada = await people("ada@example.com")
    by_id = await ada.post(f"/approvals/{approval['id']}", json={"decision": "approved"})
    by_path = await ada.post(f"/executions/{approval['execution_id']}/nodes/ask/approve", json={"decision": "approved"})

    for answer in (by_id, by_path):
        assert (answer.status_code, answer.json()["code"]) == (409, "APPROVAL_CLOSED")


async def test_words_that_come_at_once_are_counted_once_a_person(api: httpx2.AsyncClient, people: People) -> None:
    approval = await ask(api, quorum=3)
    url = f"/approvals/{approval['id']}"
    callers = [await people(f"p{number % 3}@example.com") for number in range(12)]
    answers = await asyncio.gather(*(one.post(url, json={"decision": "approved"}) for one in callers))
    settled = (await api.get(url)).json()

    assert {answer.status_code for answer in answers} == {200}
    assert settled["status"] == "approved"
    assert sorted(word["by"] for word in settled["decisions"]) == [f"p{number}@example.com" for number in range(3)]


async def test_two_of_three_approve_and_a_third_comes_too_late(api: httpx2.AsyncClient, people: People) -> None:
    names = [f"judge{number}@example.com" for number in range(3)]
    approval = await ask(api, quorum=2, approvers=names)
    url, judges = f"/approvals/{approval['id']}", [await people(name) for name in names]
    first, second, third = [await judge.post(url, json={"decision": "approved"}) for judge in judges]
    execution = await ended(api, approval)

    assert (approval["quorum"], first.json()["status"], second.json()["status"]) == (2, "open", "approved")
    assert [word["by"] for word in second.json()["decisions"]] == names[:2]
    assert (third.status_code, third.json()["code"]) == (409, "APPROVAL_CLOSED")
    assert (execution["status"], execution["output"]) == ("success", {"yes": None})


async def test_a_quorum_that_rejections_put_out_of_reach_is_rejected(api: httpx2.AsyncClient, people: People) -> None:
    names = [f"judge{number}@example.com" for number in range(3)]
    approval = await ask(api, quorum=2, approvers=names)
    url, judges = f"/approvals/{approval['id']}", [await people(name) for name in names]
    words = ["rejected", "approved", "rejected"]
    answers = [await judge.post(url, json={"decision": word}) for judge, word in zip(judges, words, strict=True)]
    execution = await ended(api, approval)

    assert [answer.json()["status"] for answer in answers] == ["open", "open", "rejected"]
    assert [word["decision"] for word in answers[2].json()["decisions"]] == words
    assert (execution["status"], execution["output"]) == ("success", {})


async def test_time_that_runs_out_leads_on_by_a_path_of_its_own(api: httpx2.AsyncClient, people: People) -> None:
    nodes = [
        {"id": "ask", "type": "approval", "params": {"timeout": "1s"}},
        *({"id": name, "type": "transform", "params": {"mapping": name}} for name in ("approved", "rejected", "late")),
    ]
    ports = {"approved": "approved", "rejected": "rejected", "timeout": "late"}
    edges = [{"source": "ask", "source_port": port, "target": target} for port, target in ports.items()]
    started = await api.post("/executions", json={"document": document(nodes=nodes, edges=edges, inputs={})})
    execution = await ended(api, {"execution_id": started.json()["id"]})
    (approval,) = (await api.get(f"/approvals?execution_id={execution['id']}")).json()["items"]
    ada = await people("ada@example.com")
    word = await ada.post(f"/approvals/{approval['id']}", json={"decision": "approved"})

    assert (execution["status"], execution["output"]) == ("success", {"late": "late"})
    assert (approval["status"], approval["decisions"]) == ("timeout", [])
    assert approval["closed_at"] >= approval["deadline"]
    assert (word.status_code, word.json()["code"]) == (409, "APPROVAL_CLOSED")


async def test_another_tenants_approval_is_not_there(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, people: People
) -> None:
    approval = await ask(api)
    word = {"decision": "approved"}
    answers = [
        await stranger.get(f"/approvals/{approval['id']}"),
        await stranger.post(f"/approvals/{approval['id']}", json=word),
        await stranger.post(f"/executions/{approval['execution_id']}/nodes/ask/approve", json=word),
    ]
    listed = (await stranger.get("/approvals")).json()["items"]
    await api.post(f"/executions/{approval['execution_id']}/cancel")

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert listed == []


async def test_lists_come_in_pages_and_know_their_statuses(api: httpx2.AsyncClient, people: People) -> None:
    asked = [await ask(api) for _ in range(3)]
    page = (await api.get("/approvals?status=open&limit=2")).json()
    following = (await api.get(f"/approvals?status=open&limit=2&cursor={page['next']}")).json()
    unknown = await api.get("/approvals?status=perhaps")
    for approval in asked:
        await api.post(f"/executions/{approval['execution_id']}/cancel")

    assert [item["id"] for item in page["items"]] == [asked[2]["id"], asked[1]["id"]]
    assert following["items"][0]["id"] == asked[0]["id"]
    assert (unknown.status_code, unknown.json()["issues"][0]["path"]) == (422, "query.status")
