"""The JSON Schema (Draft 2020-12) of an execution's input: what a document may write, and the validator for it.

A schema comes from a stranger, so three things are closed here. Patterns run on RE2 in linear time; those that need
more (look-around, back-references) are refused. References may only point at schemas inside the schema itself, and
nothing is ever fetched. Checking counts its steps and gives up in time, since references can multiply or go in circles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import re2
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from engine.dag.paths import join_path
from engine.errors import Issue

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_MAPS = ("$defs", "dependentSchemas", "patternProperties", "properties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
_REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "definitions")
_MAX_STEPS = 1_000_000
_MAX_ERRORS = 100
_Parts = tuple[str | int, ...]


class SchemaTooCostly(Exception):
    """Checking takes too many steps: references that multiply, or one that leads to itself."""


def input_errors(schema: dict[str, Any], data: Any, *, most_steps: int = _MAX_STEPS) -> list[ValidationError]:
    """What is wrong with `data`, at most 100 faults.

    Raises: SchemaTooCostly.
    """
    bare = {key: value for key, value in schema.items() if key != "$schema"}
    validator = _Validator(bare, registry=Registry(), format_checker=_Steps(most_steps))
    found: list[ValidationError] = []
    try:
        for error in validator.iter_errors(data):
            found.append(error)
            if len(found) >= _MAX_ERRORS:
                break
    except RecursionError:
        raise SchemaTooCostly from None
    return found


def schema_issues(schema: dict[str, Any], path: str) -> list[Issue]:
    """Every issue of a schema that stands at `path` in the document."""
    errors = Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
    issues = [_issue(path, tuple(error.absolute_path), _short(error)) for error in errors]
    if issues:
        return issues
    places = dict(_subschemas(schema))
    for parts, place in places.items():
        issues.extend(_issue(path, (*parts, key), text) for key, text in _place_faults(parts, place, places))
    return issues


def _issue(path: str, parts: _Parts, message: str) -> Issue:
    return Issue("INPUT_SCHEMA", join_path(path, *parts), message, "see JSON Schema, draft 2020-12")


def _short(error: ValidationError) -> str:
    return error.message if len(error.message) <= 160 else f"does not satisfy {error.validator}"


def _subschemas(root: Any) -> Iterator[tuple[_Parts, dict[str, Any]]]:
    """All schemas that are mappings, with where they stand."""
    stack: list[tuple[_Parts, Any]] = [((), root)]
    while stack:
        parts, schema = stack.pop()
        if not isinstance(schema, dict):
            continue
        place = cast("dict[str, Any]", schema)
        yield parts, place
        nested = [((*parts, key), place[key]) for key in _SINGLES if key in place]
        nested += [((*parts, key, name), item) for key in _MAPS for name, item in place.get(key, {}).items()]
        nested += [((*parts, key, index), item) for key in _LISTS for index, item in enumerate(place.get(key, ()))]
        stack.extend(reversed(nested))


def _place_faults(
    parts: _Parts, place: dict[str, Any], places: dict[_Parts, dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    for key in _REFUSED:
        if key in place:
            yield key, f"{key} is not supported: use $defs, and $ref with #/$defs/name"
    if "$schema" in place and (parts or str(place["$schema"]).rstrip("#") != _DRAFT):
        yield "$schema", f"only {_DRAFT} is supported, at the top"
    if "$ref" in place and not _leads_to_schema(str(place["$ref"]), places):
        yield "$ref", "must be # or point at a schema in here, such as #/$defs/name; nothing is fetched"
    patterns = [place["pattern"]] if "pattern" in place else []
    for pattern in patterns:
        if _compile(pattern) is None:
            yield "pattern", _PATTERN_FAULT
    if any(_compile(pattern) is None for pattern in place.get("patternProperties", ())):
        yield "patternProperties", _PATTERN_FAULT
    if "unevaluatedProperties" in place and any("patternProperties" in other for other in places.values()):
        yield "unevaluatedProperties", "is not supported together with patternProperties: use additionalProperties"


_PATTERN_FAULT = "is no regular expression of RE2, which has no look-around and no back-references"


def _leads_to_schema(reference: str, places: dict[_Parts, dict[str, Any]]) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/") or "%" in reference:
        return False
    wanted = [part.replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")]
    return any([str(part) for part in parts] == wanted for parts in places)


@lru_cache(maxsize=256)
def _compile(pattern: str) -> Any:
    """The compiled pattern, None if RE2 cannot read it."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _matches(pattern: str, text: str) -> bool:
    compiled = _compile(pattern)
    return compiled is not None and compiled.search(text) is not None


class _Steps(FormatChecker):
    """Rides along as the format checker, the one object that a validator hands to all it descends into."""

    def __init__(self, most: int) -> None:
        super().__init__(("date", "email", "ipv4", "ipv6", "uuid"))
        self.checkers = {**self.checkers, "date-time": (_is_date_time, ValueError)}
        self.taken = 0
        self.most = most


def _is_date_time(value: object) -> bool:
    if isinstance(value, str):
        return datetime.fromisoformat(value).tzinfo is not None
    return True


_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]


def _counted(keyword: _Keyword) -> _Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        steps: _Steps = validator.format_checker
        steps.taken += 1
        if steps.taken > steps.most:
            raise SchemaTooCostly
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _pattern(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches(value, instance):
        yield ValidationError(f"does not match {value}")


def _pattern_properties(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    for pattern, subschema in value.items() if isinstance(instance, dict) else ():
        for key, member in cast("dict[str, Any]", instance).items():
            if _matches(pattern, key):
                yield from validator.descend(member, subschema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, member in cast("dict[str, Any]", instance).items() if isinstance(instance, dict) else ():
        if key in known or any(_matches(pattern, key) for pattern in patterns):
            continue
        if value is False:
            yield ValidationError("there is no such key", path=[key])
        else:
            yield from validator.descend(member, value, path=key)


def _unique_items(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Linear, where the library's own compares mappings pair by pair."""
    if value and isinstance(instance, list):
        items = cast("list[Any]", instance)
        if len({json.dumps(_canonical(item), sort_keys=True) for item in items}) < len(items):
            yield ValidationError("has items that are equal")


def _canonical(value: Any) -> Any:
    """Equal JSON data in one form: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


_OWN: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_KEYWORDS: dict[str, _Keyword] = {**cast("Any", Draft202012Validator).VALIDATORS, **_OWN}
_Validator: Any = cast("Any", extend)(
    Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()}
)
