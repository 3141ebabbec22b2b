"""Reading a tree of data as a `WorkflowSpec`, with every fault of its shape as an issue."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.dag.bodies import raw_bodies
from engine.dag.json_tree import check_tree
from engine.dag.nearest import Suggester
from engine.dag.paths import join_path, sort_issues
from engine.dag.spec import NodeSpec, VariableSpec, WorkflowSpec
from engine.errors import Issue, ValidationFailed

_Path = tuple[str | int, ...]


def parse_spec(raw: Any) -> WorkflowSpec:
    """The document as a spec; bodies of loops and branches of parallels are checked too, however deep they nest.

    Raises: ValidationFailed with UNKNOWN_KEY, MISSING_KEY or INVALID_VALUE issues in document order, or with those of
    `check_tree` alone.
    """
    if issues := check_tree(raw):
        raise ValidationFailed(issues)
    suggester = Suggester()
    try:
        spec = WorkflowSpec.model_validate(raw)
    except ValidationError as error:
        spec = None
        issues = _issues(error, raw, "", WorkflowSpec, suggester)
    issues.extend(_nested_issues(raw, suggester))
    if spec is None or issues:
        raise ValidationFailed(sort_issues(issues))
    return spec


def _nested_issues(raw: Any, suggester: Suggester) -> Iterator[Issue]:
    """Issues of all nested graphs. Looks at the raw tree, so that a fault outside hides none inside."""
    stack = [(raw, "")]
    if isinstance(raw, dict):
        stack.append((cast("dict[str, Any]", raw).get("handlers"), "handlers"))
    while stack:
        graph, path = stack.pop()
        for below, model, nested in _nested_graphs(graph, path):
            try:
                model.model_validate(nested)
            except ValidationError as error:
                yield from _issues(error, nested, below, model, suggester)
            stack.append((nested, below))


def _nested_graphs(graph: Any, path: str) -> Iterator[tuple[str, type[BaseModel], Any]]:
    nodes = cast("dict[str, Any]", graph).get("nodes") if isinstance(graph, dict) else None
    for index, node in enumerate(cast("list[Any]", nodes) if isinstance(nodes, list) else []):
        if isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            for below, model, nested in raw_bodies(members.get("type"), members.get("params")):
                yield f"{join_path(path, 'nodes', index)}.{below}", model, nested


def _issues(error: ValidationError, raw: Any, base: str, model: type[BaseModel], suggester: Suggester) -> list[Issue]:
    """One issue a place: a union complains once for each of its members."""
    found: dict[str, Issue] = {}
    for problem in error.errors(include_url=False, include_input=False):
        path = _document_path(problem, raw)
        where = join_path(base, *path)
        if where not in found:
            found[where] = _issue(problem, path, where, model, suggester)
    return list(found.values())


def _document_path(problem: ErrorDetails, raw: Any) -> _Path:
    """A pydantic location without the names of union members, which are no keys of the document."""
    path: list[str | int] = []
    for part in problem["loc"]:
        if isinstance(raw, Mapping) and part in raw:
            raw = cast("Mapping[Any, Any]", raw)[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(cast("list[Any]", raw)):
            raw = cast("list[Any]", raw)[part]
        elif problem["type"] != "missing":
            continue
        path.append(part)
    return tuple(path)


def _issue(problem: ErrorDetails, path: _Path, where: str, model: type[BaseModel], suggester: Suggester) -> Issue:
    key = str(path[-1])[:80] if path else ""
    if problem["type"] == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        return Issue("UNKNOWN_KEY", where, f"there is no key {key} here", _key_hint(key, owner, suggester))
    if problem["type"] == "missing":
        return Issue("MISSING_KEY", where, f"the key {key} is required", "add it")
    owner = _model_at(model, path)
    hint = "write {default: ...}" if owner is VariableSpec else ""
    return Issue("INVALID_VALUE", where, _message(problem), hint)


def _key_hint(key: str, owner: type[BaseModel] | None, suggester: Suggester) -> str:
    if owner is None:
        return ""
    known = [field.alias or name for name, field in owner.model_fields.items()]
    advice = "; parameters of its type stand under params" if owner is NodeSpec else ""
    return suggester.hint(key, known, f"known here: {', '.join(known)}{advice}")


def _message(problem: ErrorDetails) -> str:
    if problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "must be a mapping"
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = text.replace("a valid string", "a text").replace("a valid list", "a list")
    return text[:1].lower() + text[1:]


def _model_at(annotation: Any, path: _Path) -> type[BaseModel] | None:
    """The model that stands at `path` below an annotation, None if there is none."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _model_at(get_args(annotation)[0], path)
    if origin in (Union, types.UnionType):
        return next((found for member in get_args(annotation) if (found := _model_at(member, path))), None)
    if origin in (list, dict) and path:
        return _model_at(get_args(annotation)[-1], path[1:])
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    if not path:
        return annotation
    field = next((f for name, f in annotation.model_fields.items() if path[0] in (name, f.alias)), None)
    return None if field is None else _model_at(field.annotation, path[1:])
