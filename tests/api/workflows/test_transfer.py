from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from engine.dag.document import read_document
from tests.api.conftest import document
from tests.api.workflows.test_lifecycle import create, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")
YAML = {"Content-Type": "application/yaml"}
ZIP = {"Content-Type": "application/zip"}


async def take_in(api: httpx2.AsyncClient, content: Any, query: str = "", **headers: str) -> dict[str, Any]:
    kind = headers or {"Content-Type": "application/json"}
    data = content if isinstance(content, bytes) else orjson.dumps(content)
    answer = await api.post(f"/workflows/import{query}", content=data, headers=kind)
    assert answer.status_code == 200, answer.text
    return answer.json()


def outcomes(report: dict[str, Any]) -> list[str]:
    return [item["outcome"] for item in report["items"]]


async def exists(api: httpx2.AsyncClient, name: object) -> bool:
    return bool((await api.get("/workflows", params={"search": str(name), "status": "any"})).json()["items"])


@pytest.mark.parametrize("form", ["yaml", "json"])
async def test_an_exported_version_is_the_document_that_was_saved(api: httpx2.AsyncClient, form: str) -> None:
    made = await create(api, description="on: 1e3\nsecond line\n", outputs={"x": 1.0})
    answer = await api.get(f"/workflows/{made['id']}/export?format={form}&version=1")

    assert answer.status_code == 200
    assert f'.{form}"' in answer.headers["content-disposition"]
    assert repr(read_document(answer.content, name=f"x.{form}")) == repr(made["document"])


async def test_a_credential_leaves_as_a_name_alone(api: httpx2.AsyncClient) -> None:
    draft = await create(api, "?publish=false", nodes=[{"id": "a", "type": "http", "credential": "shop-api"}], edges=[])
    text = (await api.get(f"/workflows/{draft['id']}/export")).text

    assert read_document(text.encode(), name="x.yaml")["nodes"][0] == {
        "id": "a",
        "type": "http",
        "credential": "shop-api",
    }


async def test_what_was_exported_together_comes_back_with_folders_and_tags(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    parent = (await api.post("/folders", json={"name": f"p-{uuid4().hex[:8]}"})).json()
    child = (await api.post("/folders", json={"name": "child", "parent_id": parent["id"]})).json()
    made = [await create(api), await create(api)]
    await api.patch(f"/workflows/{made[0]['id']}", json={"folder_id": child["id"], "tags": ["night"]})
    ids = "&".join(f"workflow_id={workflow['id']}" for workflow in made)
    archive = (await api.get(f"/workflows/export?format=zip&{ids}")).content
    report = await take_in(stranger, archive, **ZIP)
    folders = {folder["id"]: folder["path"] for folder in (await stranger.get("/folders")).json()}
    first = next(item for item in report["items"] if item["name"] == made[0]["name"])
    again = (await stranger.get(f"/workflows/{first['workflow_id']}")).json()

    assert (report["stored"], outcomes(report)) == (True, ["created", "created"])
    assert again["document"] == made[0]["document"]
    assert (again["status"], again["tags"]) == ("draft", ["night"])
    assert folders[again["folder_id"]] == [parent["name"], "child"]


async def test_several_documents_of_one_yaml_file_are_taken_in(api: httpx2.AsyncClient) -> None:
    made = [await create(api), await create(api)]
    ids = "&".join(f"workflow_id={workflow['id']}" for workflow in made)
    text = (await api.get(f"/workflows/export?{ids}")).content
    report = await take_in(api, text, "?on_conflict=version", **YAML)

    assert outcomes(report) == ["unchanged", "unchanged"]
    assert {item["workflow_id"] for item in report["items"]} == {workflow["id"] for workflow in made}


async def test_every_issue_of_every_document_comes_back_and_nothing_is_stored(api: httpx2.AsyncClient) -> None:
    good = document()
    text = f"name: {good['name']}\nnodes: [{{id: a, type: manual}}]\n---\nname: x\nnodes: [\n---\nnodes: 3\nodd: 1\n"
    report = await take_in(api, text.encode(), **YAML)

    assert (report["stored"], outcomes(report)) == (False, ["created", "invalid", "invalid"])
    assert report["items"][1]["source"] == "body.yaml#2 (line 3)"
    assert report["items"][1]["issues"][0]["code"] == "DOCUMENT_SYNTAX"
    assert {issue["code"] for issue in report["items"][2]["issues"]} >= {"UNKNOWN_KEY", "MISSING_KEY"}
    assert not await exists(api, good["name"])


async def test_a_dry_run_says_what_would_be_and_does_nothing(api: httpx2.AsyncClient) -> None:
    made, new = await create(api), document()
    report = await take_in(api, [{**made["document"], "description": "2"}, new], "?dry_run=true&on_conflict=version")

    assert (report["stored"], report["dry_run"], outcomes(report)) == (False, True, ["saved", "created"])
    assert not await exists(api, new["name"])
    assert (await api.get(f"/workflows/{made['id']}")).json()["latest_version"] == 1


async def test_a_taken_name_is_a_conflict_a_new_name_or_a_new_version(api: httpx2.AsyncClient) -> None:
    made = await create(api)
    changed = {**made["document"], "description": "2"}
    other = document()
    refused = await take_in(api, [other, changed])
    twice = await take_in(api, [other, {**other, "description": "again"}])
    renamed = await take_in(api, changed, "?on_conflict=rename")
    saved = await take_in(api, changed, "?on_conflict=version")

    assert (refused["stored"], outcomes(refused)) == (False, ["created", "conflict"])
    assert outcomes(twice) == ["created", "conflict"], "within one upload too"
    assert not await exists(api, other["name"])
    assert (outcomes(renamed), renamed["items"][0]["saved_as"]) == (["created"], f"{made['name']} 2")
    assert (outcomes(saved), saved["items"][0]["version"]) == (["saved"], 2)
    found = (await api.get(f"/workflows/{made['id']}")).json()
    assert (found["latest_version"], found["published_version"]) == (2, 1), "what runs does not change by an import"


def zipped(*files: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped(("a.yaml", b"\0" * (70 * 1024 * 1024))), "application/zip"),
        (zipped(("a.sh", b"echo")), "application/zip"),
        (zipped(("manifest.json", b"[1]")), "application/zip"),
        (zipped(*((f"{n}.yaml", b"a: 1") for n in range(502))), "application/zip"),
        (b"PK\x03\x04 no archive", "application/zip"),
        (b"", "application/zip"),
        (b"[]", "application/json"),
        (b"# only a comment\n---\n", "application/yaml"),
        (b"---\na: 1\n" * 501, "application/yaml"),
    ],
)
async def test_an_upload_that_is_none_is_refused(api: httpx2.AsyncClient, content: bytes, kind: str) -> None:
    call = api.post("/workflows/import", content=content, headers={"Content-Type": kind})

    assert await refusal(call) == (422, "INVALID_DOCUMENT")


async def test_folder_names_of_a_manifest_are_no_paths(api: httpx2.AsyncClient) -> None:
    name = str(document()["name"])
    entry = {"file": "../../a.yaml", "folder": [".."], "tags": []}
    files = ("manifest.json", orjson.dumps({"workflows": [entry]})), ("../../a.yaml", orjson.dumps(document(name)))
    report = await take_in(api, zipped(*files), **ZIP)

    assert outcomes(report) == ["conflict"]
    assert not await exists(api, name)


async def test_a_body_of_another_kind_is_refused(api: httpx2.AsyncClient) -> None:
    call = api.post("/workflows/import", content=b"x", headers={"Content-Type": "image/png"})
    assert await refusal(call) == (415, "MEDIA_TYPE")
