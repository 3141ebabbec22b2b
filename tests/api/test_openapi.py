from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import create_app
from api.openapi import operations
from engine.settings import Settings
from structforge.client import AsyncClient, Client
from structforge.scaffolding.client_source import client_files

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = list(operations(DOCUMENT))
CHANGING = ("post", "put", "patch", "delete")


def _named(found: tuple[str, str, dict[str, Any]]) -> str:
    return f"{found[1].upper()} {found[0]}"


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _schemas(member)
    elif isinstance(value, list):
        for member in value:
            yield from _schemas(member)


def test_the_document_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_the_document_is_the_same_each_time() -> None:
    assert json.dumps(create_app(Settings()).openapi()) == json.dumps(DOCUMENT)


def test_operation_ids_are_unique_short_names() -> None:
    ids = Counter(operation["operationId"] for _, _, operation in OPERATIONS)
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-z0-9_]{2,60}", name)] == []


def test_components_have_plain_names() -> None:
    assert [name for name in DOCUMENT["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)] == []


@pytest.mark.parametrize("found", OPERATIONS, ids=_named)
def test_an_operation_declares_its_errors_as_problems(found: tuple[str, str, dict[str, Any]]) -> None:
    path, method, operation = found
    declared = operation["responses"]
    assert "default" in declared
    if "security" in operation:
        assert {"401", "403", "429", "503"} <= set(declared)
    if "{" in path:
        assert "404" in declared
    if "requestBody" in operation:
        assert {"400", "413", "415", "422"} <= set(declared)
    for status, answer in declared.items():
        if status.startswith("4"):
            assert answer == {"$ref": f"#/components/responses/Problem{status}"}, f"{method} {path} {status}"


@pytest.mark.parametrize("found", OPERATIONS, ids=_named)
def test_an_operation_says_what_it_does_and_what_it_takes(found: tuple[str, str, dict[str, Any]]) -> None:
    _, _, operation = found
    assert operation["tags"]
    assert len(operation["description"]) > 8
    for schema in _schemas(operation):
        assert "properties" not in schema, "a shape has a name of its own"


def test_every_problem_is_problem_json() -> None:
    for answer in DOCUMENT["components"]["responses"].values():
        assert answer["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_operation_but_those_of_health_is_secured() -> None:
    open_to_all = {operation["operationId"] for _, _, operation in OPERATIONS if "security" not in operation}
    assert {"get_health", "get_readiness"} <= open_to_all
    assert not {"get_me", "list_workflows", "execute_workflow", "list_executions"} & open_to_all
    assert DOCUMENT["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_lists_that_have_a_cursor_are_pages() -> None:
    for path, method, operation in OPERATIONS:
        if "cursor" in {parameter["name"] for parameter in operation.get("parameters", ())}:
            content = operation["responses"]["200"]["content"]
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert set(DOCUMENT["components"]["schemas"][name]["properties"]) >= {"items", "next"}, f"{method} {path}"


def test_request_bodies_take_no_unknown_member() -> None:
    for path, method, operation in OPERATIONS:
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        for part in [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]:
            if "$ref" in part:
                body = DOCUMENT["components"]["schemas"][part["$ref"].rpartition("/")[2]]
                assert "properties" not in body or body.get("additionalProperties") is False, f"{method} {path}"


def test_every_operation_is_a_method_of_both_clients() -> None:
    assert client_files(DOCUMENT)
    missing = [
        operation["operationId"]
        for _, _, operation in OPERATIONS
        if not hasattr(Client, operation["operationId"]) or not hasattr(AsyncClient, operation["operationId"])
    ]
    assert missing == [], "run: python docs/generate.py"


@pytest.mark.asyncio(loop_scope="session")
async def test_the_document_is_served(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/openapi.json")

    assert answer.status_code == 200
    assert answer.json()["paths"].keys() == DOCUMENT["paths"].keys()
