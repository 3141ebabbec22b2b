"""The generated part of `structforge.client`: models and routes, from the OpenAPI document, for docs/generate.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from structforge.scaffolding.client_types import Types, argument, component, is_page, member, names_in

Operation = dict[str, Any]
WIDTH = 120
_METHODS = ("get", "put", "post", "delete", "patch")
_SHARED = "shared"
_PREFIX = "/api/v1"
_STDLIB = {"Literal": "typing", "Any": "typing", "UUID": "uuid", "datetime": "datetime", "date": "datetime"}
_OWN = {
    **dict.fromkeys(("Call", "Id", "call", "key", "listing", "part"), "structforge.client.calls"),
    **dict.fromkeys(("Page", "ReplyModel", "RequestModel"), "structforge.client.shapes"),
    **dict.fromkeys(("UNSET", "Unset"), "structforge.client.unset"),
}


def client_files(document: Mapping[str, Any]) -> dict[str, str]:
    """Path below `structforge/client` -> text: `models/<tag>.py` and `routes/<tag>.py`, and their lists."""
    return _Writer(document).files()


class _Writer:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components: dict[str, Any] = document["components"]["schemas"]
        self._types = Types(self._components)
        self._tags: dict[str, list[tuple[str, str, Operation]]] = {}
        for path, item in document["paths"].items():
            for method in (name for name in _METHODS if name in item and not _is_stream(item[name])):
                tag = _module(item[method].get("tags", [_SHARED])[0])
                self._tags.setdefault(tag, []).append((path, method, item[method]))
        self._sent = self._reachable(self._roots())
        self._place = self._places()

    def files(self) -> dict[str, str]:
        found: dict[str, str] = {}
        modules = sorted({*self._place.values()})
        for module in modules:
            found[f"models/{module}.py"] = self._models(module)
        found["models/__init__.py"] = _index(
            {m: [n for n, p in self._place.items() if p == m] for m in modules}, "models"
        )
        for tag in sorted(self._tags):
            found[f"routes/{tag}.py"] = self._routes(tag)
        found["routes/__init__.py"] = self._all_routes()
        return found

    # ---- which model stands where

    def _roots(self) -> set[str]:
        """Components that requests speak of."""
        operations = [operation for found in self._tags.values() for _, _, operation in found]
        return {name for operation in operations for name in names_in(operation.get("requestBody", {}))}

    def _reachable(self, roots: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._components:
                found.add(name)
                waiting += names_in(self._components[name])
        return found

    def _places(self) -> dict[str, str]:
        used: dict[str, set[str]] = {}
        for tag, found in self._tags.items():
            roots = [name for _, _, operation in found for name in self._named(operation)]
            for name in self._reachable(roots):
                used.setdefault(name, set()).add(tag)
        return {
            name: next(iter(tags)) if len(tags) == 1 else _SHARED
            for name, tags in sorted(used.items())
            if "properties" in self._components[name] and not is_page(self._components[name])
        }

    def _named(self, operation: Operation) -> list[str]:
        """Components that the operation's method speaks of; a body whose members are arguments is not one of them."""
        parts: list[Any] = [operation.get("parameters", []), _success(operation)]
        body = _json_body(operation)
        if body is not None:
            flat = self._flat(operation)
            parts.append(flat["properties"] if flat is not None else body)
        return [name for schema in parts for name in names_in(schema)]

    # ---- models

    def _models(self, module: str) -> str:
        names = [name for name, place in self._place.items() if place == module]
        body = "\n\n\n".join(self._model(name) for name in _ordered(names, self._components))
        others = {name: f"structforge.client.models.{place}" for name, place in self._place.items() if place != module}
        return _file(f"Bodies of {_spoken(module)}.", body, others)

    def _model(self, name: str) -> str:
        schema = self._components[name]
        strict = name in self._sent
        required = schema.get("required", ())
        lines = [f"class {name}({'RequestModel' if strict else 'ReplyModel'}):", *_docstring(schema, 4)]
        fields = [self._field(key, value, key in required, strict) for key, value in schema["properties"].items()]
        return "\n".join([*lines, "", *fields] if len(lines) > 1 else [*lines, *fields])

    def _field(self, name: str, schema: Any, required: bool, strict: bool) -> str:
        kind = self._types.of(schema, strict=strict)
        if not required and kind != "Any" and not kind.endswith("None"):
            kind += " | None"
        field = member(name)
        if field != name:
            default = "" if required else "default=None, "
            return f'    {field}: {kind} = Field({default}alias="{name}")'
        return f"    {field}: {kind}" + ("" if required else " = None")

    # ---- routes

    def _routes(self, tag: str) -> str:
        methods = "\n\n".join(self._method(*found) for found in self._tags[tag])
        body = f'class {_class(tag)}:\n    """Routes of {_spoken(tag)}."""\n\n{methods}'
        others = {name: f"structforge.client.models.{place}" for name, place in self._place.items()}
        return _file(f"Routes of {_spoken(tag)}.", body, others)

    def _all_routes(self) -> str:
        classes = {_class(tag): f"structforge.client.routes.{tag}" for tag in sorted(self._tags)}
        bases = _exploded("class Routes(", sorted(classes), "):", 0)
        return _file(
            "All routes.", f'{bases}\n    """Every operation of the API, called by its operationId."""', classes
        )

    def _method(self, path: str, method: str, operation: Operation) -> str:
        reply, accepts = self._reply(operation)
        parameters = [
            one for one in operation.get("parameters", []) if _is_argument(one) and not _streams(one, operation)
        ]
        flat, body = self._flat(operation), _json_body(operation)
        arguments = [f"{argument(one['name'])}: {self._path_type(one)}" for one in parameters if one["in"] == "path"]
        named = [self._parameter(one) for one in parameters if one["in"] != "path"]
        if flat is not None:
            required = flat.get("required", ())
            members = flat["properties"].items()
            arguments += [self._member(name, schema, True) for name, schema in members if name in required]
            named = [self._member(name, schema, False) for name, schema in members if name not in required] + named
        elif body is not None:
            kind = _lenient(self._types.of(body, strict=True))
            required = operation["requestBody"].get("required")
            if "application/yaml" in operation["requestBody"]["content"]:
                kind = "str | bytes | Mapping[str, Any]"
            arguments.append(f"body: {kind}" if required else f"body: {_may_be_unset(kind)} = UNSET")
        head = _exploded(
            f"def {operation['operationId']}(",
            ["self", *arguments, *(["*", *named] if named else [])],
            f") -> Call[{reply}]:",
            4,
        )
        lines = [f"    @{'listing' if reply.startswith('Page[') else 'call'}", head, *_docstring(operation, 8)]
        sent = self._sent_parts(path, method, operation, parameters, flat, body)
        if accepts:
            sent.append(f"accepts=({', '.join(map(str, accepts))},)")
        shown = "type(None)" if reply == "None" else reply
        return "\n".join([*lines, _exploded("return Call(", [f'"{method.upper()}"', _url(path), shown, *sent], ")", 8)])

    def _sent_parts(
        self, path: str, method: str, operation: Operation, parameters: list[Any], flat: Any, body: Any
    ) -> list[str]:
        query = [one["name"] for one in parameters if one["in"] == "query"]
        headers = [one["name"] for one in parameters if one["in"] == "header"]
        parts: list[str] = []
        if query:
            parts.append(f"params={{{', '.join(f'{json.dumps(name)}: {argument(name)}' for name in query)}}}")
        if headers:
            values = (f"{json.dumps(_header(name))}: {_header_value(name)}" for name in headers)
            parts.append(f"headers={{{', '.join(values)}}}")
        if flat is not None:
            members = ", ".join(f"{json.dumps(name)}: {argument(name)}" for name in flat["properties"])
            parts.append(f"body={{{members}}}")
            if "application/yaml" in operation["requestBody"]["content"]:
                parts[-1] = f"**document_body({{{members}}})"
        elif body is not None:
            is_file = "application/yaml" in operation["requestBody"]["content"]
            parts.append("**file_body(body)" if is_file else "body=body")
        if "wait_s" in query:
            parts.append("extra_s=wait_s or 0")
        return parts

    def _flat(self, operation: Operation) -> Any:
        """The body's schema if its members can be the method's arguments."""
        body = _json_body(operation)
        name = component(body) if body is not None else None
        if body is not None and name is None and "anyOf" in body:  # an optional body
            names = [component(one) for one in body["anyOf"] if one.get("type") != "null"]
            name = names[0] if len(names) == 1 else None
        if name is None:
            return None
        schema = self._components[name]
        taken = {argument(one["name"]) for one in operation.get("parameters", []) if _is_argument(one)} | {"self"}
        members = schema.get("properties")
        return None if not members or taken & {argument(one) for one in members} else schema

    def _reply(self, operation: Operation) -> tuple[str, list[int]]:
        """The type of the reply, and statuses other than 2xx that bring the same."""
        schema = _success(operation)
        if schema is None:
            return "None", []
        if not schema:
            return "bytes", []
        found = [int(status) for status, answer in operation["responses"].items() if status.isdecimal()
                 and int(status) >= 400 and _schema_of(answer) == schema]  # fmt: skip
        return self._types.of(schema, strict=False), found

    def _parameter(self, one: Any) -> str:
        name = argument(one["name"])
        if name == "idempotency_key":
            return "idempotency_key: str | None = None"
        kind = _lenient(self._types.of(one["schema"], strict=True))
        return f"{name}: {kind}" if one.get("required") else f"{name}: {_nullable(kind)} = None"

    def _path_type(self, one: Any) -> str:
        return _lenient(self._types.of(one["schema"], strict=True))

    def _member(self, name: str, schema: Any, required: bool) -> str:
        kind = _lenient(self._types.of(schema, strict=True))
        if name == "document" and kind == "dict[str, Any]":
            kind = "str | Mapping[str, Any]"
        if required:
            return f"{argument(name)}: {kind}"
        return f"{argument(name)}: {_may_be_unset(kind)} = UNSET"


# ---- the document's parts


def _json_body(operation: Operation) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


def _schema_of(answer: Any) -> Any:
    """The schema of a JSON answer, {} for another kind of body, None for none."""
    content = answer.get("content", {})
    if "application/json" in content:
        return content["application/json"].get("schema") or {}
    return {} if content else None


def _success(operation: Operation) -> Any:
    return next((_schema_of(answer) for status, answer in operation["responses"].items() if status[0] == "2"), None)


def _is_argument(parameter: Any) -> bool:
    """A header is an argument if it changes what the call does."""
    return parameter["in"] != "header" or parameter["name"].lower() in ("idempotency-key", "if-match")


def _streams(parameter: Any, operation: Operation) -> bool:
    """Whether it turns the reply into a stream without end, which a call cannot return."""
    answer = operation["responses"].get("200", {}).get("content", {})
    return parameter["name"] == "follow" and "text/event-stream" in answer


def _is_stream(operation: Operation) -> bool:
    """Whether all that it answers is a stream without end; the client has methods of its own for these."""
    return list(operation["responses"].get("200", {}).get("content", {})) == ["text/event-stream"]


def _header(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _header_value(name: str) -> str:
    return (
        "key(idempotency_key)"
        if name.lower() == "idempotency-key"
        else f"UNSET if {argument(name)} is None else {argument(name)}"
    )


def _lenient(kind: str) -> str:
    return re.sub(r"\bUUID\b", "Id", kind)


def _nullable(kind: str) -> str:
    return kind if kind.endswith("None") or kind == "Any" else f"{kind} | None"


def _may_be_unset(kind: str) -> str:
    if kind == "Any":
        return kind
    return f"{kind.removesuffix(' | None')} | Unset | None" if kind.endswith(" | None") else f"{kind} | Unset"


def _url(path: str) -> str:
    parts = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: f"{{part({argument(found[1])})}}", path)
    return f'f"{parts}"' if "{" in parts else f'"{parts}"'


def _ordered(names: list[str], components: Mapping[str, Any]) -> list[str]:
    """Each after those that it refers to, else by name."""
    found: list[str] = []

    def visit(name: str, on_the_way: frozenset[str]) -> None:
        for other in sorted(set(names_in(components[name]))):
            if other in names and other not in on_the_way:
                visit(other, on_the_way | {other})
        if name not in found:
            found.append(name)

    for name in sorted(names):
        visit(name, frozenset({name}))
    return found


# ---- source text


def _module(tag: str) -> str:
    return re.sub(r"\W+", "_", tag.lower())


def _spoken(module: str) -> str:
    return "several resources" if module == _SHARED else module.replace("_", " ")


def _class(tag: str) -> str:
    return "".join(word.capitalize() for word in tag.split("_")) + "Routes"


def _docstring(source: Mapping[str, Any], indent: int) -> list[str]:
    text = " ".join(str(source.get("description") or source.get("summary") or "").split())
    if not text:
        return []
    room = WIDTH - indent
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    if len(text) + 6 <= room:
        return [" " * indent + f'"""{text}{" " if text.endswith(chr(34)) else ""}"""']
    lines: list[str] = []
    line = '"""'
    for word in text.split(" "):
        if len(line) + len(word) + 1 > room - 3:
            lines.append(line)
            line = word
        else:
            line = word if not line else line + ("" if line == '"""' else " ") + word
    return [(" " * indent + one).rstrip() for one in [*lines, line, '"""']]


def _exploded(head: str, items: list[str], tail: str, indent: int) -> str:
    """A bracket on one line if it fits, else one item a line."""
    space = " " * indent
    one = f"{space}{head}{', '.join(items)}{tail}"
    if len(one) <= WIDTH:
        return one
    inner = "".join(_item(item, indent + 4) for item in items)
    return f"{space}{head}\n{inner}{space}{tail}"


def _item(item: str, indent: int) -> str:
    line = f"{' ' * indent}{item},\n"
    space = " " * indent
    if len(line) - 1 > WIDTH and (found := re.fullmatch(r"([^{]*Literal\[)([^\]]*)(\].*)", item)):
        values = "".join(f"{space}    {one},\n" for one in found[2].split(", "))
        return f"{space}{found[1]}\n{values}{space}{found[3]},\n"
    if len(line) - 1 <= WIDTH or "{" not in item:
        return line
    head, _, rest = item.partition("{")
    members, _, tail = rest.rpartition("}")
    if head.endswith("("):  # a call around the mapping goes on lines of its own
        return f"{space}{head}\n{_item(f'{{{members}}}', indent + 4)[:-2]}\n{space}{tail},\n"
    inner = "".join(f"{space}    {one},\n" for one in members.split(", "))
    return f"{space}{head}{{\n{inner}{space}}}{tail},\n"


def _file(title: str, body: str, own: Mapping[str, str]) -> str:
    """A module with the imports that its text needs."""
    # A word that is followed by a colon and no bracket before it is a member's name.
    code = re.sub(r'"""[\s\S]*?"""|"[^"\n{]*"|^ +\w+:', "", body, flags=re.MULTILINE)
    used = set(re.findall(r"[A-Za-z_]\w*", code))
    sources = {name: where for name, where in {**_STDLIB, **_OWN, **own}.items() if name in used}
    groups: list[dict[str, str]] = [{}, {}, {}]
    for name, where in sources.items():
        groups[2 if where.startswith("structforge") else 0][name] = where
    if "Mapping" in used:
        groups[0]["Mapping"] = "collections.abc"
    if "Field" in used:
        groups[1]["Field"] = "pydantic"
    groups[2] |= {name: "structforge.client.documents" for name in ("document_body", "file_body") if name in used}
    imports = "\n\n".join(_imports(group) for group in groups if group)
    head = f'"""{title} Written by docs/generate.py from the OpenAPI document: change the API, not this file."""'
    return f"{head}\n\nfrom __future__ import annotations\n\n{imports}\n\n\n{body}\n"


def _imports(names: Mapping[str, str]) -> str:
    lines: list[str] = []
    for module in sorted(set(names.values())):
        wanted = sorted((name for name, where in names.items() if where == module), key=_import_order)
        line = f"from {module} import {', '.join(wanted)}"
        if len(line) > WIDTH:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in wanted) + ")"
        lines.append(line)
    return "\n".join(lines)


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name.lower())


def _index(modules: Mapping[str, list[str]], package: str) -> str:
    names = {name: f"structforge.client.{package}.{module}" for module, found in modules.items() for name in found}
    listed = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]"
    head = '"""Every body. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""'
    return f"{head}\n\nfrom __future__ import annotations\n\n{_imports(names)}\n\n{listed}\n"
