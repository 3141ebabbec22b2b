"""The OpenAPI document: what FastAPI derives from the routes, completed by what holds for all of them.

Every operation names the errors that it may answer with, each as a `Problem`; every shape is a named component.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from api.errors import MEDIA_TYPE
from api.guarded_route import defines_by
from api.idempotency import KEY_PARAMETER
from api.openapi_texts import DESCRIPTION, EXAMPLES, PROBLEM_EXAMPLES, PROBLEMS, TAGS
from api.permissions import Permission, permissions_of
from api.schemas import Problem

_METHODS = ("get", "put", "post", "delete", "patch")
_COMPONENTS = "#/components/schemas/"
_NAME_A_VERSION_IN_THE_BODY = ("replace_credential",)  # where others have If-Match
Operation = dict[str, Any]


class DescribedApi(FastAPI):
    """A FastAPI application whose document a client generator can use."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            _take_keys(document, self._endpoints(defines_by))
            open_to_all = self._endpoints(lambda endpoint: Permission.PUBLIC in permissions_of(endpoint))
            self.openapi_schema = _completed(document, open_to_all)
        return self.openapi_schema

    def _endpoints(self, wanted: Callable[[Any], bool]) -> set[str]:
        routes = [found.original_route for found in iter_route_contexts(self.routes)]
        endpoints = [route.endpoint for route in routes if isinstance(route, APIRoute)]
        return {endpoint.__name__ for endpoint in endpoints if wanted(endpoint)}


def operation_id(route: APIRoute) -> str:
    """An operation is called like its endpoint: short, and the same however routes are put together."""
    return route.name


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """Path, method and operation, in the document's order."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method]


def _completed(document: dict[str, Any], open_to_all: set[str]) -> dict[str, Any]:
    for _, _, operation in operations(document):
        if operation["operationId"] in open_to_all:
            operation.pop("security", None)
    document["info"] |= {"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    document["servers"] = [{"url": "/", "description": "This server"}]
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    _name_bodies(document, schemas)
    document = _named_by_title(document)
    components, schemas = document["components"], document["components"]["schemas"]
    _declare_problems(document, components)
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name].setdefault("examples", [example])
    used = {tag for _, _, operation in operations(document) for tag in operation.get("tags", ())}
    document["tags"] = [{"name": tag} | ({"description": TAGS[tag]} if tag in TAGS else {}) for tag in sorted(used)]
    return document


def _take_keys(document: dict[str, Any], defining: set[str]) -> None:
    """Requests that define something take an idempotency key, which their endpoints never see."""
    for _, method, operation in operations(document):
        if method == "post" and operation["operationId"] in defining:
            operation.setdefault("parameters", []).append(copy.deepcopy(KEY_PARAMETER))


def _named_by_title(document: dict[str, Any]) -> dict[str, Any]:
    """Pages are components called `Page_X_`; they are renamed to their title, `XPage`, as generated clients show it."""
    titles = {name: schema.get("title", "") for name, schema in document["components"]["schemas"].items()}
    wanted = {name: title for name, title in titles.items() if name != title and title.isidentifier()}
    free = {name: title for name, title in wanted.items() if [*titles.values()].count(title) == 1}
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {free.get(name, name): schema for name, schema in schemas.items()}
    return _relinked(document, {_COMPONENTS + name: _COMPONENTS + title for name, title in free.items()})


def _name_bodies(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Bodies that endpoints read themselves are described in place: make components of them, and of what they use."""
    for _, _, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content.get("schema", {})
            if "title" in schema and "properties" in schema:
                content["schema"] = {"$ref": _COMPONENTS + _hoisted(schema, schemas)}


def _hoisted(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = schema["title"]
    inner: dict[str, Any] = schema.get("$defs", {})
    links = {f"#/$defs/{one}": _COMPONENTS + one for one in inner}
    for one, definition in inner.items():
        schemas.setdefault(one, _relinked(definition, links))
    schemas.setdefault(name, _relinked({key: value for key, value in schema.items() if key != "$defs"}, links))
    return name


def _relinked(value: Any, links: Mapping[str, str]) -> Any:
    """The same with other targets of its references."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: _link(key, member, links) for key, member in members.items()}
    return [_relinked(member, links) for member in cast("list[Any]", value)] if isinstance(value, list) else value


def _link(key: str, member: Any, links: Mapping[str, str]) -> Any:
    return links.get(member, member) if key == "$ref" and isinstance(member, str) else _relinked(member, links)


def _declare_problems(document: dict[str, Any], components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _add_model(schemas, Problem)
    responses = components.setdefault("responses", {})
    responses |= {f"Problem{status}": _problem(status) for status in PROBLEMS}
    responses["ProblemOther"] = _problem(None)
    for _, method, operation in operations(document):
        declared = operation["responses"]
        if "HTTPValidationError" in str(declared.get("422")):
            del declared["422"]
        for status in _statuses(method, operation):
            declared.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
        declared.setdefault("default", {"$ref": "#/components/responses/ProblemOther"})


def _statuses(method: str, operation: Operation) -> list[int]:
    """Statuses of the errors that such an operation can end in."""
    parameters = operation.get("parameters", [])
    names = {parameter["name"].lower() for parameter in parameters}
    takes = bool(parameters) or "requestBody" in operation
    sends_on = "303" in operation["responses"]  # to a page of others, which may be missing or away
    rules = {
        400: "requestBody" in operation,
        401: "security" in operation or takes,  # signing in is open to all, and refused with these
        403: "security" in operation or takes,
        404: takes or sends_on or method != "get",
        408: "requestBody" in operation,
        409: method != "get",
        412: "if-match" in names or operation["operationId"] in _NAME_A_VERSION_IN_THE_BODY,
        413: "requestBody" in operation,
        414: any(parameter["in"] == "query" for parameter in parameters),
        415: "requestBody" in operation,
        422: takes,
        429: "security" in operation or takes,
        503: "security" in operation or takes or sends_on,
    }
    return [status for status, holds in rules.items() if holds]


def _add_model(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization", ref_template=_COMPONENTS + "{model}")
    for name, definition in schema.pop("$defs", {}).items():
        schemas.setdefault(name, definition)
    schemas[model.__name__] = schema


def _problem(status: int | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"{_COMPONENTS}Problem"}}
    if status is not None and status in PROBLEM_EXAMPLES:
        content["example"] = _example(status, *PROBLEM_EXAMPLES[status])
    response: dict[str, Any] = {
        "description": PROBLEMS[status] if status else "Any other error",
        "content": {MEDIA_TYPE: content},
    }
    if status in (429, 503):
        after = {"description": "Seconds after which another try makes sense", "schema": {"type": "string"}}
        response["headers"] = {"Retry-After": after}
    return response


def _example(status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"urn:structforge:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
