from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.api.conftest import MAX_DOCUMENT_BYTES, document

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _create(api: httpx2.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/workflows", json={"document": document(**more)})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_document_becomes_version_1_and_is_published(api: httpx2.AsyncClient) -> None:
    given = document(description="d")
    answer = await api.post("/workflows", json={"document": given})

    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/workflows/{created['id']}"
    assert (created["latest_version"], created["published_version"], created["version"]) == (1, 1, 1)
    assert created["document"] == given
    assert (await api.get(f"/workflows/{created['id']}")).json() == created


async def test_yaml_text_is_a_document_too(api: httpx2.AsyncClient) -> None:
    text = "name: from-yaml\nnodes:\n  - {id: start, type: manual}\n"
    answer = await api.post("/workflows", content=text, headers={"Content-Type": "application/yaml"})

    assert answer.status_code == 201
    assert answer.json()["document"] == {"name": "from-yaml", "nodes": [{"id": "start", "type": "manual"}]}


async def test_a_document_without_an_envelope_is_taken_as_it_is(api: httpx2.AsyncClient) -> None:
    assert (await api.post("/workflows", json=document())).status_code == 201


async def test_a_body_of_another_kind_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/workflows", content=b"<xml/>", headers={"Content-Type": "application/xml"})

    assert (answer.status_code, answer.json()["code"]) == (415, "MEDIA_TYPE")


async def test_every_issue_of_a_bad_document_comes_back_and_nothing_is_saved(api: httpx2.AsyncClient) -> None:
    bad = document(edges=[{"source": "start", "target": "nowhere"}])
    bad["nodes"] = [{"id": "start", "type": "manual"}, {"id": "start", "type": "mannual"}]
    answer = await api.post("/workflows", json={"document": bad})

    codes = {issue["code"] for issue in answer.json()["issues"]}
    assert answer.status_code == 422
    assert answer.json()["code"] == "INVALID_DOCUMENT"
    assert len(codes) >= 3
    assert (await api.get(f"/workflows?search={bad['name']}&status=any")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"document": {"name": "a", "name": "b", "nodes": []}}', "DUPLICATE_KEY"),
        (b'{"document": {"name": NaN}}', "INVALID_NUMBER"),
        (b'{"document": ' + b"[" * 5000 + b"]" * 5000 + b"}", None),
        (b'{"document": {"name": "x", "nodes": [], "description": "' + b"y" * MAX_DOCUMENT_BYTES + b'"}}', None),
        (b"\xff\xfe", "DOCUMENT_SYNTAX"),
        (b"", "DOCUMENT_SYNTAX"),
    ],
)
async def test_a_malformed_body_is_refused_with_issues(api: httpx2.AsyncClient, body: bytes, code: str | None) -> None:
    answer = await api.post("/workflows", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert code in (None, *(issue["code"] for issue in answer.json()["issues"]))


async def test_validate_answers_200_with_issues_and_saves_nothing(api: httpx2.AsyncClient) -> None:
    good, bad = document(), document(nodes=[{"id": "a", "type": "no_such"}], edges=[])

    assert (await api.post("/workflows/validate", json={"document": good})).json() == {"valid": True, "issues": []}
    answer = await api.post("/workflows/validate", json={"document": bad})
    broken = await api.post("/workflows/validate", content="a: [", headers={"Content-Type": "application/yaml"})

    assert answer.status_code == 200
    assert not answer.json()["valid"]
    assert "no_such" in json.dumps(answer.json()["issues"])
    assert (broken.status_code, broken.json()["valid"]) == (200, False)
    assert (await api.get(f"/workflows?search={good['name']}")).json()["items"] == []


async def test_a_name_is_taken_once_unless_the_caller_wants_to_save_over_it(api: httpx2.AsyncClient) -> None:
    first = await _create(api)
    again = await api.post("/workflows", json={"document": first["document"]})
    changed = {**first["document"], "description": "changed"}
    saved = await api.post("/workflows?if_exists=save", json={"document": changed})

    assert (again.status_code, again.json()["code"]) == (409, "NAME_TAKEN")
    assert saved.json()["id"] == first["id"]
    assert (saved.json()["latest_version"], saved.json()["published_version"]) == (2, 2)


async def test_put_saves_the_next_version_and_the_same_document_saves_none(api: httpx2.AsyncClient) -> None:
    first = await _create(api)
    url = f"/workflows/{first['id']}"
    changed = {**first["document"], "description": "second"}

    second = await api.put(url, json={"document": changed, "note": "why"})
    same = await api.put(url, json={"document": changed})

    assert (second.json()["version"], second.json()["published_version"]) == (2, 2)
    assert same.json()["version"] == 2


async def test_of_two_editors_one_is_told_that_the_other_was_first(api: httpx2.AsyncClient) -> None:
    first = await _create(api)
    url = f"/workflows/{first['id']}"
    tag = (await api.get(url)).headers["etag"]

    one = await api.put(url, json={"document": {**first["document"], "description": "1"}}, headers={"If-Match": tag})
    other = await api.put(url, json={"document": {**first["document"], "description": "2"}}, headers={"If-Match": tag})
    odd = await api.put(url, json={"document": first["document"]}, headers={"If-Match": "three"})

    assert one.status_code == 200
    assert (other.status_code, other.json()["code"]) == (412, "VERSION_CONFLICT")
    assert odd.status_code == 422
    assert (await api.get(url)).json()["description"] == "1"


async def test_what_a_client_has_already_is_not_sent_again(api: httpx2.AsyncClient) -> None:
    url = f"/workflows/{(await _create(api))['id']}"
    tag = (await api.get(url)).headers["etag"]
    unchanged = await api.get(url, headers={"If-None-Match": tag})
    await api.delete(url)
    archived = await api.get(url, headers={"If-None-Match": tag})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert archived.json()["status"] == "archived"


async def test_an_archived_workflow_leaves_the_list_and_starts_nothing(api: httpx2.AsyncClient) -> None:
    created = await _create(api)
    removed = await api.delete(f"/workflows/{created['id']}")
    started = await api.post(f"/workflows/{created['id']}/execute")

    assert removed.status_code == 204
    assert (await api.get(f"/workflows?search={created['name']}")).json()["items"] == []
    assert len((await api.get(f"/workflows?search={created['name']}&status=any")).json()["items"]) == 1
    assert (started.status_code, started.json()["code"]) == (409, "WORKFLOW_ARCHIVED")


async def test_lists_come_in_pages_newest_first(api: httpx2.AsyncClient) -> None:
    names = [(await _create(api, name=f"paged-{number}"))["name"] for number in range(3)]
    first = (await api.get("/workflows?search=paged-&limit=2")).json()
    second = (await api.get(f"/workflows?search=paged-&limit=2&cursor={first['next']}")).json()

    assert [item["name"] for item in first["items"] + second["items"]] == names[::-1]
    assert second["next"] is None


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/execute")])
async def test_another_tenants_workflow_is_not_there(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient, method: str, rest: str
) -> None:
    created = await _create(api)
    body = {"json": {"document": created["document"]}} if method == "PUT" else {}

    answer = await stranger.request(method, f"/workflows/{created['id']}{rest}", **body)

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (await api.get(f"/workflows/{created['id']}")).json()["status"] == "active"
