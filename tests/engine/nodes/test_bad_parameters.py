"""Bad parameters of every node type are issues with a path and a hint before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from engine.errors import Issue, NodeError
from engine.nodes.base import NodeType
from engine.nodes.registry import built_in_catalogue
from tests.engine.nodes.running import node_type

TYPES = built_in_catalogue().types()
CANDIDATES: list[Any] = [None, True, 1.5, -1, "no such word", ["x"], {"no_such_key": 1}]
BODY = {"nodes": [{"id": "x", "type": "transform", "params": {"mapping": 1}}]}
FILTER = {"items": [], "condition": "True"}
URL = "https://a.example"
SQL = "SELECT :a"

# What each type refuses, as (parameters, code, path).
BAD: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "manual": [
        ({"trigger_key": ""}, "INVALID_PARAM", "params.trigger_key"),
        ({"timeout": 5}, "INVALID_PARAM", "params.timeout"),
        ({"trigger_key": "{{ input.key }}"}, "INVALID_PARAM", "params.trigger_key"),
    ],
    "webhook": [
        ({}, "MISSING_PARAM", "params.path"),
        ({"path": "a/../b"}, "INVALID_PARAM", "params.path"),
        ({"path": "a", "method": "BREW"}, "INVALID_PARAM", "params.method"),
        ({"path": "a", "response": "node"}, "INVALID_PARAM", "params"),
        ({"path": "a", "headers": {"x": {"pattern": "("}}}, "INVALID_PARAM", "params.headers.x.pattern"),
    ],
    "timer": [
        ({}, "INVALID_PARAM", "params"),
        ({"cron": "61 * * * *"}, "INVALID_PARAM", "params.cron"),
        ({"every": "1h", "timezone": "Nowhere/Land"}, "INVALID_PARAM", "params.timezone"),
        ({"every": "1h", "at": "2030-01-01"}, "INVALID_PARAM", "params"),
    ],
    "event": [
        ({}, "MISSING_PARAM", "params.event_type"),
        ({"event_type": "a b"}, "INVALID_PARAM", "params.event_type"),
        ({"event_type": "a", "event_filter": 5}, "INVALID_PARAM", "params.event_filter"),
    ],
    "transform": [
        ({}, "INVALID_PARAM", "params"),
        ({"mapping": 1, "rules": []}, "INVALID_PARAM", "params"),
        ({"rules": [{"op": "sett", "path": "a"}]}, "INVALID_PARAM", "params.rules[0].op"),
        ({"rules": [{"op": "cast", "path": "a", "value": "colour"}]}, "INVALID_PARAM", "params.rules[0]"),
        ({"rules": [{"op": "set", "path": "a[", "value": 1}]}, "INVALID_PARAM", "params.rules[0]"),
    ],
    "filter": [
        ({"items": []}, "MISSING_PARAM", "params.condition"),
        ({**FILTER, "items": 5}, "INVALID_PARAM", "params.items"),
        ({**FILTER, "filter_type": "toss"}, "INVALID_PARAM", "params.filter_type"),
        ({**FILTER, "conditon": "x"}, "UNKNOWN_KEY", "params.conditon"),
    ],
    "aggregate": [
        (
            {"aggregations": {"n": {"function": "total", "field": "x"}}},
            "INVALID_PARAM",
            "params.aggregations.n.function",
        ),
    ],
    "map": [
        ({"items": []}, "MISSING_PARAM", "params.mapping_expression"),
        ({"items": {}, "mapping_expression": "item"}, "INVALID_PARAM", "params.items"),
    ],
    "sort": [
        ({"sort_by": "x", "order": "up"}, "INVALID_PARAM", "params.order"),
        ({"sort_by": [{"by": "x", "nulls": "middle"}]}, "INVALID_PARAM", "params.sort_by[0].nulls"),
    ],
    "condition": [
        ({}, "MISSING_PARAM", "params.conditions"),
        ({"conditions": [{"condition": "True"}]}, "MISSING_PARAM", "params.conditions[0].output_port"),
        (
            {"conditions": [{"condition": "True", "output_port": "error"}]},
            "INVALID_PARAM",
            "params.conditions[0].output_port",
        ),
        ({"conditions": [], "default_port": "{{ input.x }}"}, "INVALID_PARAM", "params.default_port"),
    ],
    "switch": [
        ({"cases": []}, "MISSING_PARAM", "params.switch_value"),
        ({"switch_value": 1, "cases": [{"value": 1, "output_port": "a b"}]}, "INVALID_PARAM",
         "params.cases[0].output_port"),
    ],
    "delay": [
        ({}, "MISSING_PARAM", "params.delay"),
        ({"delay": "soon"}, "INVALID_PARAM", "params.delay"),
        ({"delay": 30}, "INVALID_PARAM", "params.delay"),
        ({"delay_type": "until", "delay": "tomorrow"}, "INVALID_PARAM", "params.delay"),
        ({"delay_type": "sometime", "delay": "1s"}, "INVALID_PARAM", "params.delay_type"),
    ],
    "parallel": [
        ({}, "MISSING_PARAM", "params.branches"),
        ({"branches": [{"id": "a", **BODY}], "wait": "some"}, "INVALID_PARAM", "params.wait"),
        ({"branches": [{"id": "a", **BODY}], "timeout": 5}, "INVALID_PARAM", "params.timeout"),
    ],
    "loop": [
        ({"loop_type": "for", "count": 2}, "MISSING_PARAM", "params.body"),
        ({"loop_type": "forever", "body": BODY}, "INVALID_PARAM", "params.loop_type"),
        ({"loop_type": "for", "count": -1, "body": BODY}, "INVALID_PARAM", "params.count"),
        ({"loop_type": "while", "body": BODY}, "INVALID_PARAM", "params"),
    ],
    "workflow": [
        ({}, "MISSING_PARAM", "params.workflow"),
        ({"workflow": "x", "version": 0}, "INVALID_PARAM", "params.version"),
        ({"workflow": "x", "wait": "perhaps"}, "INVALID_PARAM", "params.wait"),
    ],
    "approval": [
        ({"quorum": 0}, "INVALID_PARAM", "params.quorum"),
        ({"approvers": ["a"], "quorum": 2}, "INVALID_PARAM", "params.quorum"),
        ({"approvers": ["role:"]}, "INVALID_PARAM", "params.approvers[0]"),
        ({"form": {"type": "nothing"}}, "INPUT_SCHEMA", "params.form.type"),
        ({"timeout": "later"}, "INVALID_PARAM", "params.timeout"),
    ],
    "http": [
        ({}, "MISSING_PARAM", "params.url"),
        ({"url": URL, "method": "BREW"}, "INVALID_PARAM", "params.method"),
        ({"url": URL, "timeout": 30}, "INVALID_PARAM", "params.timeout"),
        ({"url": URL, "success_codes": ["9xx"]}, "INVALID_PARAM", "params.success_codes"),
        ({"url": URL, "retries": 3}, "UNKNOWN_KEY", "params.retries"),
        ({"url": "shop.example/orders"}, "INVALID_PARAM", "params.url"),
        ({"url": "ftp://shop.example/orders"}, "INVALID_PARAM", "params.url"),
        ({"url": "https://user:word@shop.example/"}, "INVALID_PARAM", "params.url"),
        ({"url": URL, "body_type": "form", "body": [1]}, "INVALID_PARAM", "params.body"),
        ({"url": URL, "headers": {"x y": "1"}}, "INVALID_PARAM", "params.headers"),
    ],
    "webhook_send": [
        ({}, "MISSING_PARAM", "params.url"),
        ({"url": "partner"}, "INVALID_PARAM", "params.url"),
        ({"url": URL, "method": "GET"}, "INVALID_PARAM", "params.method"),
        ({"url": URL, "headers": {"Webhook-Id": "1"}}, "INVALID_PARAM", "params.headers"),
    ],
    "database": [
        ({}, "INVALID_PARAM", "params"),
        ({"query": "SELECT '{{ input.x }}'"}, "INVALID_PARAM", "params.query"),
        ({"query": "SELECT 1; DROP TABLE x"}, "INVALID_PARAM", "params.query"),
        ({"query": SQL}, "INVALID_PARAM", "params"),
        ({"query": "DELETE FROM x"}, "INVALID_PARAM", "params"),
        ({"query": SQL, "parameters": {"a": 1}, "max_rows": 0}, "INVALID_PARAM", "params.max_rows"),
    ],
    "message_queue": [
        ({"operation": "send", "queue_name": "q"}, "MISSING_PARAM", "params.message"),
        ({"operation": "peek", "queue_name": "q"}, "INVALID_PARAM", "params.operation"),
        ({"operation": "receive", "queue_name": "q", "wait": "1h"}, "INVALID_PARAM", "params.wait"),
        ({"operation": "receive", "queue_name": "q", "message": 1}, "INVALID_PARAM", "params.message"),
    ],
    "email": [
        ({"subject": "x", "body": "y"}, "MISSING_PARAM", "params.to"),
        ({"to": "a@b.example", "subject": "x\nBcc: c@d.example", "body": "y"}, "INVALID_PARAM", "params.subject"),
        ({"to": "nobody", "subject": "x", "body": "y"}, "INVALID_PARAM", "params.to"),
    ],
    "text_generation": [
        ({"model": "m"}, "MISSING_PARAM", "params.prompt"),
        ({"model": "m", "prompt": "x", "temperature": 9}, "INVALID_PARAM", "params.temperature"),
        ({"model": "m", "prompt": "x", "max_tokens": 0}, "INVALID_PARAM", "params.max_tokens"),
        ({"model": "m", "prompt": "x", "on_budget": "borrow"}, "INVALID_PARAM", "params.on_budget"),
        ({"model": "m", "prompt": "x", "response_schema": {"type": "nothing"}}, "INVALID_PARAM",
         "params.response_schema.type"),
    ],
    "chat": [
        ({"model": "m"}, "MISSING_PARAM", "params.messages"),
        ({"model": "m", "messages": []}, "INVALID_PARAM", "params.messages"),
        ({"model": "m", "messages": [{"role": "king", "content": "x"}]}, "INVALID_PARAM", "params.messages[0]"),
    ],
    "image_generation": [
        ({"model": "m"}, "MISSING_PARAM", "params.prompt"),
        ({"model": "m", "prompt": "x", "count": 0}, "INVALID_PARAM", "params.count"),
    ],
    "embedding": [
        ({"model": "m"}, "INVALID_PARAM", "params"),
        ({"model": "m", "text": "a", "texts": ["b"]}, "INVALID_PARAM", "params"),
        ({"model": "m", "texts": [""]}, "INVALID_PARAM", "params.texts[0]"),
    ],
    "script": [
        ({}, "MISSING_PARAM", "params.script_code"),
        ({"script_code": "1 +"}, "INVALID_PARAM", "params.script_code"),
        ({"script_code": "x = '{{ input.y }}'"}, "INVALID_PARAM", "params.script_code"),
        ({"script_code": "1", "memory": "lots"}, "INVALID_PARAM", "params.memory"),
        ({"script_code": "1", "runtime": "java"}, "INVALID_PARAM", "params.runtime"),
    ],
    "file_operation": [
        ({}, "MISSING_PARAM", "params.operation"),
        ({"operation": "read"}, "INVALID_PARAM", "params"),
        ({"operation": "write", "file_path": "a.txt"}, "INVALID_PARAM", "params"),
        ({"operation": "copy", "file_path": "a.txt"}, "INVALID_PARAM", "params"),
        ({"operation": "read", "file_path": "a.txt", "encoding": "klingon"}, "INVALID_PARAM", "params.encoding"),
        ({"operation": "read", "file_path": "../a.txt"}, "INVALID_PARAM", "params.file_path"),
        ({"operation": "read", "file_path": "/etc/passwd"}, "INVALID_PARAM", "params.file_path"),
    ],
    "system_command": [
        ({}, "MISSING_PARAM", "params.command"),
        ({"command": "rm -rf /"}, "INVALID_PARAM", "params.command"),
        ({"command": "greet", "args": ["x"]}, "INVALID_PARAM", "params.args"),
        ({"command": "greet", "args": {"x": {"y": 1}}}, "INVALID_PARAM", "params.args.x"),
    ],
}  # fmt: skip
ROWS = [(name, params, code, path) for name, rows in BAD.items() for params, code, path in rows]


def issues(kind: NodeType, params: dict[str, Any]) -> list[Issue]:
    return [issue for issue in kind.validate_params(params, "params") if issue.severity == "error"]


def test_every_type_has_a_table() -> None:
    assert sorted(BAD) == sorted(kind.type for kind in TYPES)


@pytest.mark.parametrize(("name", "params", "code", "path"), ROWS, ids=[f"{row[0]}-{row[3]}" for row in ROWS])
def test_what_is_bad_is_an_issue_with_its_place_and_a_hint(
    name: str, params: dict[str, Any], code: str, path: str
) -> None:
    found = issues(node_type(name), params)
    assert (code, path) in [(issue.code, issue.path) for issue in found]
    assert [issue for issue in found if not (issue.hint and issue.message)] == []


def good_params(kind: NodeType) -> Iterator[dict[str, Any]]:
    for example in kind.examples:
        yield deepcopy(example["params"])


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.type)
def test_a_mistyped_parameter_is_refused_and_the_nearest_is_named(kind: NodeType) -> None:
    known = kind.params_schema["properties"]
    for name in known:
        for wrong in (f"{name}x", name[:-1]):
            if wrong in known or len(name) < 4:
                continue
            params = {**next(good_params(kind)), wrong: 1}
            (issue,) = [one for one in issues(kind, params) if one.path == f"params.{wrong}"]
            assert issue.code == "UNKNOWN_KEY"
            assert issue.hint.startswith("did you mean")


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.type)
def test_a_required_parameter_that_is_missing_is_named_with_what_it_is(kind: NodeType) -> None:
    fields = kind.params_model.model_fields
    required = [field.alias or name for name, field in fields.items() if field.is_required()]
    for name in {*required, *kind.body_params}:
        params = next(good_params(kind))
        params.pop(name)
        found = [issue for issue in issues(kind, params) if issue.path == f"params.{name}"]
        assert [(issue.code, bool(issue.hint)) for issue in found] == [("MISSING_PARAM", True)]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.type)
def test_a_value_of_the_wrong_type_is_refused_before_it_runs(kind: NodeType) -> None:
    """Whatever parsing would refuse at run time, validation refuses before; and each typed parameter refuses
    something."""
    schema = kind.params_schema
    for name, part in schema["properties"].items():
        if name in kind.body_params:
            continue
        fits = jsonschema.Draft202012Validator({**part, "$defs": schema.get("$defs", {})}).is_valid
        wrong = [value for value in CANDIDATES if not fits(value)]
        refused = [value for value in wrong if refuses(kind, name, value)]
        assert refused or not wrong, f"{name} takes anything"


def refuses(kind: NodeType, name: str, value: Any) -> bool:
    params = {**next(good_params(kind)), name: value}
    found = issues(kind, params)
    try:
        kind.parse_params(params)
    except NodeError as error:
        if not any(is_of(name, issue["path"]) for issue in error.details["issues"]):
            return bool(found)  # the example's own templates, which parsing does not take
        assert any(is_of(name, issue.path) for issue in found), (
            f"{name}={value!r} fails when it runs and is no issue before"
        )
        assert [issue for issue in found if not issue.hint] == []
        return True
    return bool(found)


def is_of(name: str, path: str) -> bool:
    """Whether the path of an issue is the parameter's, or that of all parameters together."""
    return path == "params" or path.startswith(f"params.{name}")


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.type)
def test_parameters_that_are_no_issue_are_parsed(kind: NodeType) -> None:
    for params in good_params(kind):
        assert issues(kind, params) == []
