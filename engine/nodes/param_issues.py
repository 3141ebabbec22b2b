"""Parameter problems as issues with a document path and a hint."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from engine.errors import Issue
from engine.nodes.markers import JsonPath, templated_paths

UNKNOWN_KEY = "UNKNOWN_KEY"
MISSING_PARAM = "MISSING_PARAM"
INVALID_PARAM = "INVALID_PARAM"
STRUCTURE = "structure"
_ALWAYS_KNOWN = ("missing", "extra_forbidden", STRUCTURE)


def structure_error(message: str) -> PydanticCustomError:
    """For validators: a problem that stands whatever the templates will give, such as two parameters that exclude
    each other."""
    return PydanticCustomError(STRUCTURE, "{message}", {"message": message})


def format_path(base: str, path: Sequence[str | int]) -> str:
    """`nodes[3].params` and `("headers", "x-id", 0)` as `nodes[3].params.headers["x-id"][0]`."""
    text = base
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def issues_of(
    error: ValidationError,
    raw: Mapping[str, Any],
    base: str,
    model: type[BaseModel],
    templated: Sequence[JsonPath],
) -> list[Issue]:
    """One issue for each problem, once for each place, without what only a rendered template could tell."""
    issues: dict[tuple[str, str], Issue] = {}
    for problem in error.errors(include_url=False):
        path = _document_path(problem["loc"], raw, problem["type"])
        if problem["type"] not in _ALWAYS_KNOWN and _touches(path, templated):
            continue
        issue = _issue(problem, path, base, model)
        issues.setdefault((issue.code, issue.path), issue)
    return list(issues.values())


def missing_issue(base: str, name: str, model: type[BaseModel]) -> Issue:
    field = model.model_fields.get(name)
    hint = (field.description or "") if field is not None else ""
    return Issue(MISSING_PARAM, format_path(base, (name,)), f"the parameter {name} is required", hint)


def constant_issues(raw: Mapping[str, Any], paths: Sequence[JsonPath], base: str) -> list[Issue]:
    """Templates where the graph's shape depends on the value."""
    return [
        Issue(
            INVALID_PARAM,
            format_path(base, path),
            "this must be a constant: the ports of a node are known before it runs",
            "write the name itself, without {{ }}",
        )
        for path in paths
        if "{{" in _at(raw, path)
    ]


def fixed_issues(raw: Mapping[str, Any], expressions: Sequence[JsonPath], base: str) -> list[Issue]:
    """Templates in a trigger, which is read before there is an execution; `expressions` are no templates."""
    return [
        Issue(
            INVALID_PARAM,
            format_path(base, path),
            "a trigger is read before anything runs, so there is nothing that {{ }} could give",
            "write the value itself",
        )
        for path in templated_paths(raw)
        if path not in expressions
    ]


def _at(raw: Any, path: JsonPath) -> str:
    for part in path:
        raw = raw[part]
    return cast("str", raw)


def _issue(problem: ErrorDetails, path: JsonPath, base: str, model: type[BaseModel]) -> Issue:
    where = format_path(base, path)
    if problem["type"] == "missing":
        return Issue(MISSING_PARAM, where, f"the parameter {path[-1]} is required", _hint(model, path))
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return Issue(UNKNOWN_KEY, where, f"there is no parameter {path[-1]}", hint)
    message = problem["msg"].removeprefix("Value error, ")
    return Issue(INVALID_PARAM, where, message[:1].lower() + message[1:], _hint(model, path))


def _touches(path: JsonPath, templated: Sequence[JsonPath]) -> bool:
    """Whether a template stands at, over or under the path."""
    return any(path[: len(place)] == place or place[: len(path)] == path for place in templated)


def _document_path(location: tuple[int | str, ...], raw: Any, kind: str) -> JsonPath:
    """A pydantic location without the names of union members and validators, which are no keys of the document."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        if isinstance(raw, Mapping) and part in raw:
            raw = cast("Mapping[Any, Any]", raw)[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(cast("list[Any]", raw)):
            raw = cast("list[Any]", raw)[part]
        elif not (kind == "missing" and position == len(location) - 1):
            continue
        path.append(part)
    return tuple(path)


def _known_keys(model: type[BaseModel], path: JsonPath) -> list[str]:
    return [field.alias or name for found in _models_at(model, path) for name, field in found.model_fields.items()]


def _hint(model: type[BaseModel], path: JsonPath) -> str:
    """What the parameter is, or the one around it; for all of them together, which there are."""
    for length in range(len(path), 0, -1):
        found = _description(model, path[:length])
        if found:
            return found
    return f"known here: {', '.join(_known_keys(model, ()))}"


def _description(model: type[BaseModel], path: JsonPath) -> str:
    for found in _models_at(model, path[:-1]):
        field = found.model_fields.get(str(path[-1])) if path else None
        if field is not None and field.description:
            return field.description
    return ""


def _models_at(annotation: Any, path: JsonPath) -> list[type[BaseModel]]:
    """Every model that could stand at `path` below `annotation`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _models_at(get_args(annotation)[0], path)
    if origin in (Union, types.UnionType):
        return [model for member in get_args(annotation) for model in _models_at(member, path)]
    if origin in (list, dict) and path:
        return _models_at(get_args(annotation)[-1], path[1:])
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return []
    if not path:
        return [annotation]
    field = next((f for n, f in annotation.model_fields.items() if path[0] in (n, f.alias)), None)
    return [] if field is None else _models_at(field.annotation, path[1:])
