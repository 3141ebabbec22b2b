"""From JSON Schema of the OpenAPI document to the Python types of the client."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

Schema = Mapping[str, Any]
COMPONENTS = "#/components/schemas/"
_SCALARS = {"integer": "int", "number": "float", "boolean": "bool", "null": "None", "string": "str"}
_FORMATS = {"uuid": "UUID", "date-time": "datetime", "date": "date", "binary": "bytes"}
_PAGE = frozenset({"items", "next"})
# Members of pydantic's BaseModel that a field must not hide.
_TAKEN = frozenset({"copy", "dict", "json", "schema", "validate", "construct", "register"})


def component(schema: Schema) -> str | None:
    """The name of the component that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(COMPONENTS) if isinstance(reference, str) else None


def names_in(schema: Any) -> Iterator[str]:
    """Every component that a schema refers to, directly."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        if (name := component(members)) is not None:
            yield name
        for member in members.values():
            yield from names_in(member)
    elif isinstance(schema, list):
        for member in cast("list[Any]", schema):
            yield from names_in(member)


def is_page(schema: Schema) -> bool:
    """Whether a component is a page of a list."""
    return frozenset(schema.get("properties", ())) == _PAGE and schema.get("title", "").endswith("Page")


class Types:
    """Python types of schemas; `strict` ones, of requests, name every value that is taken."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self.components = components

    def of(self, schema: Schema, *, strict: bool) -> str:
        """The type as Python source."""
        if (name := component(schema)) is not None:
            return self._component(name, strict)
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return _union([self.of(part, strict=strict) for part in schema[union]])
        if "allOf" in schema and len(schema["allOf"]) == 1:
            return self.of(schema["allOf"][0], strict=strict)
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if values is not None:
            return self._values(values, strict)
        return self._plain(schema, strict)

    def _component(self, name: str, strict: bool) -> str:
        schema = self.components[name]
        if is_page(schema):
            return f"Page[{self.of(schema['properties']['items']['items'], strict=strict)}]"
        return name if "properties" in schema else self.of(schema, strict=strict)

    def _plain(self, schema: Schema, strict: bool) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union([self._plain({**schema, "type": one}, strict) for one in cast("list[str]", kind)])
        if kind == "array":
            items = schema.get("items")
            return f"list[{self.of(items, strict=strict) if items else 'Any'}]"
        if kind == "object":
            members = schema.get("additionalProperties")
            return f"dict[str, {self.of(members, strict=strict) if isinstance(members, dict) and members else 'Any'}]"
        if kind == "string":
            return _FORMATS.get(schema.get("format", ""), "str")
        return _SCALARS.get(str(kind), "Any")

    def _values(self, values: list[Any], strict: bool) -> str:
        """A reply may bring a value that this client does not know yet, so it takes any of their type."""
        if strict:
            return f"Literal[{', '.join('None' if value is None else json.dumps(value) for value in values)}]"
        return _union([{bool: "bool", int: "int", str: "str"}.get(type(value), "None") for value in values])


def argument(name: str) -> str:
    """A name of the API as a Python argument."""
    found = re.sub(r"\W", "_", name).lower() if "-" in name else name
    return f"{found}_" if keyword.iskeyword(found) else found


def member(name: str) -> str:
    """A name of the API as a field of a model."""
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN or name.startswith("model_dump") else name


def _union(types: list[str]) -> str:
    flat = list(dict.fromkeys(part for kind in types for part in (kind.split(" | ") if "[" not in kind else [kind])))
    if "Any" in flat:
        return "Any"
    return " | ".join([kind for kind in flat if kind != "None"] + (["None"] if "None" in flat else []))
