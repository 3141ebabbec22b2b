"""The input of an execution: defaults applied, then checked against the document's `inputs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from engine.dag.input_schema import SchemaTooCostly, input_errors
from engine.dag.json_tree import check_tree
from engine.dag.paths import join_path
from engine.dag.spec import WorkflowSpec
from engine.errors import Issue, ValidationFailed

_ROOT = "input"
_MAX_DEFAULT_BYTES = 4_000_000
_MAX_VISITS = 200_000
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a text",
}


def check_input(spec: WorkflowSpec, data: Any) -> Any:
    """`data` with the defaults of the schema filled in, at any depth; no input at all counts as `{}`.

    Raises: ValidationFailed with every fault, at paths such as `input.min_total`.
    """
    return _checked(spec.inputs, data, _ROOT)


def check_form(schema: dict[str, Any], data: Any) -> Any:
    """A form that a person has filled in, as `check_input` checks the input; faults stand at paths such as `form.sum`.

    Raises: ValidationFailed.
    """
    return _checked(schema, data, "form")


def _checked(schema: dict[str, Any], data: Any, root: str) -> Any:
    given: Any = {} if data is None and schema.get("type", "object") == "object" else data
    failure = f"the {root} is not valid"
    if issues := check_tree(given, root):
        raise ValidationFailed(issues, failure)
    try:
        filled = _Defaults(schema).fill(schema, given)
        issues = [issue for error in input_errors(schema, filled) for issue in _issues(error, root)]
    except SchemaTooCostly:
        hint = "simplify the schema's references, or send less"
        issue = Issue("INPUT_TOO_COSTLY", root, f"checking the {root} takes too long", hint)
        raise ValidationFailed([issue], failure) from None
    if issues:
        raise ValidationFailed(issues, failure)
    return filled


class _Defaults:
    """Fills in `default` of `properties`, through `items`, `allOf` and `$ref`. What was given is not changed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._added_bytes = 0
        self._visits = 0

    def fill(self, schema: Any, value: Any, references: int = 0) -> Any:
        """Raises: SchemaTooCostly."""
        self._visits += 1
        if self._visits > _MAX_VISITS or references > 100:
            raise SchemaTooCostly
        if not isinstance(schema, dict):
            return value
        place = cast("dict[str, Any]", schema)
        if "$ref" in place:
            value = self.fill(self._resolve(place["$ref"]), value, references + 1)
        for part in place.get("allOf", ()):
            value = self.fill(part, value, references + 1)
        if isinstance(value, dict) and "properties" in place:
            return self._fill_members(place["properties"], cast("dict[str, Any]", value))
        if isinstance(value, list) and isinstance(place.get("items"), dict):
            return [self.fill(place["items"], item) for item in cast("list[Any]", value)]
        return value

    def _fill_members(self, properties: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        filled = dict(value)
        for name, schema in properties.items():
            if name not in filled and isinstance(schema, dict) and "default" in schema:
                filled[name] = self._default(cast("dict[str, Any]", schema)["default"])
            if name in filled:
                filled[name] = self.fill(schema, filled[name])
        return filled

    def _default(self, default: Any) -> Any:
        """A copy, counted: a default of a list's items is added once for each of them."""
        text = json.dumps(default)
        self._added_bytes += len(text)
        if self._added_bytes > _MAX_DEFAULT_BYTES:
            raise SchemaTooCostly
        return json.loads(text)

    def _resolve(self, reference: str) -> Any:
        place: Any = self._root
        for part in reference.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            place = place[int(key)] if isinstance(place, list) else place[key]
        return place


def _issues(error: ValidationError, root: str) -> Iterator[Issue]:
    path = join_path(root, *error.absolute_path)
    value: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        if (name := _missing_name(error.message, value)) is not None:
            yield Issue(
                "MISSING_INPUT", join_path(path, name), "is required", "give it, or add a default to the schema"
            )
        return
    code = "UNKNOWN_INPUT" if error.validator == "additionalProperties" else "INVALID_INPUT"
    yield Issue(code, path, _message(str(error.validator), value, instance, error))


def _missing_name(message: str, names: list[str]) -> str | None:
    return next((name for name in names if message.startswith(f"{name!r} is a required")), None)


def _message(keyword: str, value: Any, instance: Any, error: ValidationError) -> str:
    """What is wrong, without the data themselves: they may be secret or large."""
    if keyword == "type":
        kinds: list[str] = cast("list[str]", value) if isinstance(value, list) else [value]
        return f"must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}, not {_kind(instance)}"
    if keyword == "additionalProperties":
        return "there is no such key in the schema"
    if keyword in ("anyOf", "oneOf", "not", "if"):
        return f"fits none of the forms that {keyword} of the schema allows"
    text = json.dumps(value)
    return (
        f"must satisfy {keyword}: {text if len(text) <= 100 else '(see the schema)'}"
        if error.validator
        else "is not allowed"
    )


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), "that")
