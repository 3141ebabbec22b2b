from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest

from api.templates.service import built_in
from tests.api.conftest import document
from tests.api.workflows.test_lifecycle import create, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("template_id", sorted(built_in()))
async def test_each_built_in_template_makes_a_workflow_that_can_be_published(
    api: httpx2.AsyncClient, template_id: str
) -> None:
    body = {"name": str(document()["name"]), "publish": True}
    made = await api.post(f"/templates/{template_id}/use", json=body)

    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["status"]) == (body["name"], "active")
    assert made.json()["document"]["description"] != ""


async def test_a_workflow_becomes_a_template_of_its_tenant(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    made = await create(api, description="d")
    template = (await api.post("/templates", json={"workflow_id": made["id"]})).json()
    await api.put(f"/workflows/{made['id']}", json={"document": {**made["document"], "description": "later"}})
    used = (await api.post(f"/templates/{template['id']}/use", json={"name": f"u-{uuid4().hex}"})).json()
    listed = (await api.get("/templates")).json()

    assert (template["name"], template["description"], template["built_in"]) == (made["name"], "d", False)
    assert used["document"] == {**made["document"], "name": used["name"]}, "as it stood when it was made a template"
    assert used["status"] == "draft"
    assert [item["built_in"] for item in listed][: len(built_in())] == [True] * len(built_in())
    assert template["id"] in {item["id"] for item in listed}
    assert await refusal(api.post("/templates", json={"workflow_id": made["id"]})) == (409, "NAME_TAKEN")
    assert await refusal(stranger.get(f"/templates/{template['id']}")) == (404, "NOT_FOUND")
    assert await refusal(stranger.delete(f"/templates/{template['id']}")) == (404, "NOT_FOUND")
    assert (await api.delete(f"/templates/{template['id']}")).status_code == 204
    assert await refusal(api.get(f"/templates/{template['id']}")) == (404, "NOT_FOUND")


async def test_a_built_in_template_stays(api: httpx2.AsyncClient) -> None:
    assert await refusal(api.delete(f"/templates/{next(iter(built_in()))}")) == (403, "ACCESS_DENIED")
    assert await refusal(api.get("/templates/no-such")) == (404, "NOT_FOUND")
