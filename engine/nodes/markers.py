"""Annotations on parameters that say how their text is read, and the search for the marked text in raw parameters."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel

JsonPath = tuple[str | int, ...]
_Finder = Callable[[Any, JsonPath], Iterator[JsonPath]]

SCOPE_NAMES = frozenset({"item", "index", "last", "input", "inputs", "vars", "nodes", "execution", "error"})
_FIELD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ItemExpression:
    """The strings at or under this parameter are expressions that the node itself evaluates.

    With `bare_names`, a plain (dotted) name that is no scope name means that field of the item.
    """

    bare_names: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """No template may stand at or under this parameter: the graph's shape depends on it."""


@dataclass(frozen=True, slots=True)
class Graph:
    """This parameter holds nested nodes and edges; it is validated and run by the engine, never rendered."""


def is_field_name(text: str) -> bool:
    """Whether `text` names a field of an item (`total`, `customer.city`) and is no expression."""
    return _FIELD.fullmatch(text) is not None and text.partition(".")[0] not in SCOPE_NAMES


def marked_paths(model: type[BaseModel], marker: type) -> Callable[[Mapping[str, Any]], list[JsonPath]]:
    """A function from raw parameters to the paths of all strings under fields that carry `marker`."""
    finders = _field_finders(model, marker)

    def find(params: Mapping[str, Any]) -> list[JsonPath]:
        found: dict[JsonPath, None] = {}
        for name, finder in finders:
            if name in params:
                found.update(dict.fromkeys(finder(params[name], (name,))))
        return list(found)

    return find


def has_marker(model: type[BaseModel], marker: type) -> bool:
    """Whether any field of the model, or of a model in it, carries `marker`."""
    return bool(_field_finders(model, marker))


def marked_fields(model: type[BaseModel], marker: type) -> tuple[str, ...]:
    """Names of the top-level fields that carry `marker` themselves."""
    return tuple(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(isinstance(item, marker) for item in field.metadata)
    )


def _field_finders(model: type[BaseModel], marker: type) -> list[tuple[str, _Finder]]:
    finders: list[tuple[str, _Finder]] = []
    for name, field in model.model_fields.items():
        annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        finder = _finder(annotation, marker)
        if finder is not None:
            finders.append((field.alias or name, finder))
    return finders


def _finder(annotation: Any, marker: type) -> _Finder | None:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        mark = next((item for item in metadata if isinstance(item, marker)), None)
        return _strings(inner, mark) if mark is not None else _finder(inner, marker)
    if origin in (Union, types.UnionType):
        return _any_of([_finder(member, marker) for member in get_args(annotation)])
    if origin is list:
        return _members(_finder(get_args(annotation)[0], marker), list)
    if origin is dict:
        return _members(_finder(get_args(annotation)[1], marker), dict)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _object(_field_finders(annotation, marker))
    return None


def _strings(inner: Any, mark: Any) -> _Finder:
    """Strings of a marked annotation: only the value itself if it is a scalar type, else everything under it."""
    whole_tree = inner is Any or get_origin(inner) in (list, dict)
    skip_names = isinstance(mark, ItemExpression) and mark.bare_names

    def find(value: Any, path: JsonPath) -> Iterator[JsonPath]:
        if isinstance(value, str):
            if not (skip_names and is_field_name(value)):
                yield path
        elif whole_tree:
            for key, member in _children(value):
                yield from find(member, (*path, key))

    return find


def _any_of(finders: list[_Finder | None]) -> _Finder | None:
    present = [finder for finder in finders if finder is not None]
    if not present:
        return None

    def find(value: Any, path: JsonPath) -> Iterator[JsonPath]:
        for finder in present:
            yield from finder(value, path)

    return find


def _members(finder: _Finder | None, kind: type) -> _Finder | None:
    if finder is None:
        return None

    def find(value: Any, path: JsonPath) -> Iterator[JsonPath]:
        if isinstance(value, kind):
            for key, member in _children(value):
                yield from finder(member, (*path, key))

    return find


def _object(finders: list[tuple[str, _Finder]]) -> _Finder | None:
    if not finders:
        return None

    def find(value: Any, path: JsonPath) -> Iterator[JsonPath]:
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            for name, finder in finders:
                if name in members:
                    yield from finder(members[name], (*path, name))

    return find


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        yield from enumerate(cast("list[Any]", value))


def templated_paths(tree: Any, path: JsonPath = ()) -> Iterator[JsonPath]:
    """Paths of all strings in a JSON tree that hold a template."""
    if isinstance(tree, str):
        if "{{" in tree:
            yield path
    else:
        for key, member in _children(tree):
            yield from templated_paths(member, (*path, key))
