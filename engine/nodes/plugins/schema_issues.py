"""Parameters held against a JSON Schema, where leaves may be templates: issues as the models of other types give."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from engine.errors import Issue
from engine.nodes.markers import JsonPath, templated_paths
from engine.nodes.param_issues import INVALID_PARAM, MISSING_PARAM, UNKNOWN_KEY, format_path

_CHOICES = ("anyOf", "oneOf")


def schema_issues_of(schema: Mapping[str, Any], raw: Mapping[str, Any], base: str) -> list[Issue]:
    """Every issue, once for each place. What a template will give is not known, so nothing is said of its type."""
    templated = [*templated_paths(raw)]
    issues: dict[tuple[str, str], Issue] = {}
    validator = Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(raw), key=lambda found: [str(part) for part in found.absolute_path]):
        for issue in _issues(error, raw, base, templated):
            issues.setdefault((issue.code, issue.path), issue)
    return list(issues.values())


def _issues(
    error: ValidationError, raw: Mapping[str, Any], base: str, templated: Sequence[JsonPath]
) -> Iterator[Issue]:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        yield from _missing(error, path, base)
    elif error.validator == "additionalProperties" and error.validator_value is False:
        yield from _unknown(error, path, base)
    elif not _touches(path, templated):
        closest = best_match([error]) if error.validator in _CHOICES else error
        if closest is not None and closest is not error and closest.validator in ("required", "additionalProperties"):
            yield from _issues(closest, raw, base, templated)
        else:
            shown = closest or error
            where = format_path(base, tuple(shown.absolute_path))
            yield Issue(INVALID_PARAM, where, _message(shown), _hint(error))


def _missing(error: ValidationError, path: JsonPath, base: str) -> Iterator[Issue]:
    given = cast("dict[str, Any]", error.instance)
    for name in cast("list[str]", error.validator_value):
        if name not in given:
            hint = _properties(error).get(name, {}).get("description", "")
            yield Issue(MISSING_PARAM, format_path(base, (*path, name)), f"the parameter {name} is required", hint)


def _unknown(error: ValidationError, path: JsonPath, base: str) -> Iterator[Issue]:
    known = list(_properties(error))
    for name in cast("dict[str, Any]", error.instance):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            yield Issue(UNKNOWN_KEY, format_path(base, (*path, name)), f"there is no parameter {name}", hint)


def _properties(error: ValidationError) -> dict[str, Any]:
    return cast("dict[str, Any]", error.schema).get("properties", {})


def _message(error: ValidationError) -> str:
    """What is wrong, without the value, which may be a secret."""
    rule, wanted = str(error.validator), error.validator_value
    if rule == "type":
        return f"this must be of type {wanted}"
    if rule in ("enum", "const"):
        return f"this must be one of {wanted}" if rule == "enum" else f"this must be {wanted}"
    if rule in _CHOICES:
        return "this fits none of the forms that the parameter may have"
    return f"this does not fit {rule}: {wanted}" if isinstance(wanted, str | int | float) else f"this breaks {rule}"


def _hint(error: ValidationError) -> str:
    schema = error.schema
    return str(schema.get("description", "")) if isinstance(schema, dict) else ""


def _touches(path: JsonPath, templated: Sequence[JsonPath]) -> bool:
    """Whether a template stands at, over or under the path."""
    return any(path[: len(place)] == place or place[: len(path)] == path for place in templated)
