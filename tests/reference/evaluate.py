"""What nodes do and what expressions mean, in the slowest obvious way, for the documents of `generator` alone.

Expressions go to Python's own `eval` (the generator writes them, so they are trusted); nothing of `engine.expressions`
or `engine.nodes` is used. HTTP behaviour stands in the path of the request:

    /ok/<int>               200, {"value": int}
    /fail/<status>/<times>  `status` for the first `times` attempts of one idempotency key, then 200, {"value": times}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from engine.dag.spec import NodeSpec, Retry
from engine.errors import EXPRESSION_ERROR, EXTERNAL_ERROR, INVALID_CONFIG, RATE_LIMITED

Kind = Literal["success", "failed", "skipped", "cancelled"]
Error = dict[str, Any]
_PART = re.compile(r"\{\{([^{}]*)\}\}")
_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+|item|index|last|input|error")
_RETRYABLE = (408, 425, 429)


class Failure(Exception):
    """A node failed with `error`, as it is recorded."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.error: Error = {"code": code, "message": message, "details": {}, "retryable": retryable}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a node execution ended. `attempts` are those of this run of it; `skipped` means that `when` was false."""

    kind: Kind
    output: Any = None
    port: str = "out"
    port_data: Any = None
    assigned: dict[str, Any] = field(default_factory=dict[str, Any])
    error: Error | None = None
    attempts: int = 1


def evaluate_node(
    node: NodeSpec, scope: Mapping[str, Any], upstream: Any, *, retry: Retry | None, tried: int = 0
) -> Outcome:
    """Run a node that is no container to its end. `tried` attempts of its idempotency key were made before."""
    try:
        names = with_inputs(node, scope)
        if not holds(node, names):
            return Outcome("skipped", attempts=0)
        params = render(node.params, names)
    except Failure as failure:
        return Outcome("failed", error=failure.error)
    most = retry.max_attempts if retry else 1
    for attempt in range(1, most + 1):
        try:
            output, port, port_data = _execute(node, params, names, upstream, tried + attempt)
            assigned = assignments(node, names, output)
        except Failure as failure:
            if attempt == most or not failure.error["retryable"]:
                return Outcome("failed", error=failure.error, attempts=attempt)
        else:
            return Outcome("success", output, port, port_data, assigned, attempts=attempt)
    raise AssertionError("a policy has at least one attempt")


def with_inputs(node: NodeSpec, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The scope with the node's own `inputs`."""
    return {**scope, "inputs": render(node.inputs, scope)}


def holds(node: NodeSpec, scope: Mapping[str, Any]) -> bool:
    """Whether `when` lets the node run."""
    return node.when is None or bool(condition(node.when, scope))


def assignments(node: NodeSpec, scope: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """What `assign` sets; the node sees its own output."""
    own = {"output": output, "status": "success", "error": None, "ports": {}}
    return render(node.assign, {**scope, "nodes": {**scope["nodes"], node.id: own}})


def _execute(
    node: NodeSpec, params: dict[str, Any], scope: Mapping[str, Any], upstream: Any, attempt: int
) -> tuple[Any, str, Any]:
    if node.type == "http":
        status, body = respond(urlsplit(params["url"]).path, attempt)
        if status != 200:
            raise http_failure(status)
        output: Any = {"status": 200, "body": body}
    elif node.type == "transform":
        output = params["mapping"]
    elif node.type == "condition":
        port = _first_holding(node, scope)
        return {"port": port}, port, upstream
    elif node.type == "switch":
        value = params["switch_value"]
        found = (case["output_port"] for case in params["cases"] if _same(case["value"], value))
        port = next(found, default_port(node))
        return {"port": port, "value": value}, port, upstream
    elif node.type == "delay":
        output = {"started_at": "", "ended_at": ""}
    elif node.type == "approval":
        port = params["message"]  # the generator writes there how people are going to decide
        output = {"decision": port, "by": None, "form": None, "comment": "", "decisions": []}
        return output, port, output
    else:
        assert node.type == "manual", node.type
        output = scope["input"]
    return output, "out", output


def respond(path: str, attempt: int) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of the effect server for the `attempt`-th (1-based) request with one idempotency key."""
    behaviour, *rest = path.strip("/").split("/")[-3 if "/fail/" in path else -2 :]
    numbers = [int(part) for part in rest]
    if behaviour == "ok":
        return 200, {"value": numbers[0]}
    assert behaviour == "fail", path
    status, times = numbers
    return (status, {}) if attempt <= times else (200, {"value": times})


def http_failure(status: int) -> Failure:
    code = RATE_LIMITED if status == 429 else EXTERNAL_ERROR
    return Failure(code, f"status {status}", retryable=status in _RETRYABLE or status >= 500)


def _first_holding(node: NodeSpec, scope: Mapping[str, Any]) -> str:
    for branch in node.params["conditions"]:
        if condition(branch["condition"], scope):
            return branch["output_port"]
    return default_port(node)


def default_port(node: NodeSpec) -> str:
    """The port of a node that is skipped, or whose failure is handled and has no error edge."""
    usual = {"condition": "else", "switch": "default", "approval": "rejected"}.get(node.type, "out")
    return node.params.get("default_port", usual)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def loop_items(node: NodeSpec, params: Mapping[str, Any], upstream: Any) -> list[Any]:
    """The items of a foreach.

    Raises: Failure INVALID_CONFIG if there is no list.
    """
    items = params.get("items", upstream)
    if "items" not in params and isinstance(items, dict):
        items = cast("dict[str, Any]", items).get("items")
    if not isinstance(items, list):
        raise Failure(INVALID_CONFIG, f"{node.id}: items is no list")
    return cast("list[Any]", items)


def condition(source: Any, scope: Mapping[str, Any]) -> Any:
    """An expression with or without braces, or a constant."""
    if not isinstance(source, str):
        return source
    whole = _PART.fullmatch(source.strip())
    return expression(whole.group(1) if whole else source, scope)


def render(tree: Any, scope: Mapping[str, Any]) -> Any:
    """A JSON tree with its templates replaced by what they give.

    Raises: Failure EXPRESSION_ERROR.
    """
    if isinstance(tree, dict):
        return {key: render(item, scope) for key, item in cast("dict[str, Any]", tree).items()}
    if isinstance(tree, list):
        return [render(item, scope) for item in cast("list[Any]", tree)]
    if not isinstance(tree, str):
        return tree
    whole = _PART.fullmatch(tree)
    if whole:
        return expression(whole.group(1), scope)
    return _PART.sub(lambda part: _as_text(expression(part.group(1), scope)), tree)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def expression(source: str, scope: Mapping[str, Any]) -> Any:
    """The value of an expression.

    Raises: Failure EXPRESSION_ERROR.
    """
    text = source.strip()
    if _PLAIN.fullmatch(text):
        return plain_path(text, scope)
    try:
        return eval(text, {"__builtins__": {}}, {name: _view(value) for name, value in scope.items()})
    except Exception as error:
        raise Failure(EXPRESSION_ERROR, f"{text}: {error!r}") from None


def plain_path(text: str, scope: Mapping[str, Any]) -> Any:
    """A dotted path. One that goes through a null node output is null; a missing key is an error."""
    value: Any = scope
    steps = text.split(".")
    for at, step in enumerate(steps):
        if value is None and steps[0] == "nodes" and at >= 3 and scope["nodes"][steps[1]][steps[2]] is None:
            return None
        if steps[0] == "nodes" and at == 3 and steps[2] == "ports":
            value = value.get(step)  # a port that did not emit holds nothing
            if value is None:
                return None
            continue
        if not isinstance(value, Mapping) or step not in value:
            raise Failure(EXPRESSION_ERROR, f"{text}: no {step}")
        value = cast("Mapping[str, Any]", value)[step]
    return value


class _View(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]


def _view(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _View({key: _view(item) for key, item in cast("Mapping[str, Any]", value).items()})
    if isinstance(value, list):
        return [_view(item) for item in cast("list[Any]", value)]
    return value


def normalise(data: Any) -> Any:
    """Data without what differs from run to run (times, headers, messages of errors), for comparison."""
    if isinstance(data, list):
        return [normalise(item) for item in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    members = cast("dict[str, Any]", data)
    if members.keys() >= {"code", "message"}:
        return {"code": members["code"]}
    if members.keys() == {"started_at", "ended_at"}:
        return "delay"
    if members.keys() == {"decision", "by", "form", "comment", "decisions"}:
        return {"decision": members["decision"]}
    if members.keys() == {"status", "headers", "body", "url", "elapsed_ms"}:
        members = {"status": members["status"], "body": members["body"]}
    return {key: normalise(item) for key, item in members.items()}
