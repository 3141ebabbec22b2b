"""Data: build an object, or change the upstream output by rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.base import NodeContext, NodeParams, NodeResult, node
from engine.nodes.casts import CastKind, cast_value
from engine.nodes.json_paths import Step, copy_json, exists, explain_absence, format_steps, holders, parse_json_path
from engine.nodes.param_issues import structure_error

_CAST_KINDS: tuple[str, ...] = get_args(CastKind)


class Rule(NodeParams):
    op: Literal["set", "rename", "remove", "cast", "default"] = Field(description="What is done at the path")
    path: str = Field(description='Where: customer.city, items[0].price, items[*].price, ["odd key"]')
    value: Any = Field(
        default=None,
        description="set and default: the value; rename: the new name of the last step; "
        f"cast: the kind, one of {', '.join(_CAST_KINDS)}; remove: nothing",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "{{" not in self.path:
            parse_json_path(self.path)
        if isinstance(self.value, str) and "{{" in self.value:
            return self
        if self.op == "rename" and not (isinstance(self.value, str) and self.value):
            raise structure_error("rename needs the new name as its value")
        if self.op == "cast" and self.value not in _CAST_KINDS:
            raise structure_error(f"cast needs one of {', '.join(_CAST_KINDS)} as its value")
        if self.op in ("set", "default") and "value" not in self.model_fields_set:
            raise structure_error(f"{self.op} needs a value")
        return self


class TransformParams(NodeParams):
    """Build an object from templates (`mapping`), or change the upstream output by ordered rules (`rules`).

    `set` makes the objects that are missing on the way; `default` sets where the value is missing or null; `remove` of
    what is not there does nothing; `rename` and `cast` of what is not there are errors, except under `*`, where they
    leave out the members without it. A cast leaves null as it is.
    """

    mapping: Any = Field(default=None, description="Object of any depth whose texts may hold templates")
    rules: list[Rule] = Field(default_factory=list[Rule], description="Changes to the upstream output, in order")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if ("mapping" in self.model_fields_set) == ("rules" in self.model_fields_set):
            raise structure_error("give either mapping or rules")
        return self


@node(
    "transform",
    category="data",
    kind="local",
    icon="braces",
    result=Any,
    reads_upstream=True,
    examples=[
        {
            "title": "Build an object",
            "params": {"mapping": {"customer": {"id": "{{ input.id }}", "name": "{{ input.first }} {{ input.last }}"}}},
        },
        {
            "title": "Change what came",
            "params": {
                "rules": [
                    {"op": "rename", "path": "temp_max", "value": "high"},
                    {"op": "cast", "path": "high", "value": "float"},
                    {"op": "default", "path": "unit", "value": "C"},
                    {"op": "remove", "path": "internal"},
                ]
            },
        },
    ],
)
async def transform(params: TransformParams, context: NodeContext) -> NodeResult:
    if "mapping" in params.model_fields_set:
        return NodeResult(params.mapping)
    data = copy_json(context.upstream)
    for at, rule in enumerate(params.rules):
        try:
            _APPLY[rule.op](data, parse_json_path(rule.path), rule.value)
        except ValueError as error:
            raise NodeError(
                f"rules[{at}] ({rule.op} {rule.path[:100]}): {error}",
                code=INVALID_CONFIG,
                details={"rule": at, "op": rule.op, "path": rule.path},
            ) from None
    return NodeResult(data)


def _set(data: Any, steps: tuple[Step, ...], value: Any) -> None:
    places = [*holders(data, steps, create=True)]
    _need(places, data, steps)
    for container, key in places:
        container[key] = copy_json(value)


def _default(data: Any, steps: tuple[Step, ...], value: Any) -> None:
    places = [*holders(data, steps, create=True)]
    _need(places, data, steps)
    for container, key in places:
        if not exists(container, key) or container[key] is None:
            container[key] = copy_json(value)


def _remove(data: Any, steps: tuple[Step, ...], value: Any) -> None:
    # From the back, so that the indexes of a list stay true while its members go.
    for container, key in reversed([*holders(data, steps)]):
        if exists(container, key):
            del container[key]


def _rename(data: Any, steps: tuple[Step, ...], value: Any) -> None:
    for container, key in _present(data, steps):
        if not isinstance(container, dict):
            raise ValueError("a member of a list has no name to change")
        if value != key and value in container:
            raise ValueError(f"there is a {value} already: remove it first")
        members = [(value if name == key else name, member) for name, member in container.items()]
        container.clear()
        container.update(members)


def _cast(data: Any, steps: tuple[Step, ...], value: Any) -> None:
    for container, key in _present(data, steps):
        try:
            container[key] = cast_value(container[key], value)
        except ValueError as error:
            name = key if isinstance(key, str) else f"[{key}]"
            raise ValueError(f"{name} cannot become {value}: {error}") from None


def _present(data: Any, steps: tuple[Step, ...]) -> list[tuple[Any, str | int]]:
    places = [place for place in holders(data, steps) if exists(*place)]
    _need(places, data, steps)
    return places


def _need(places: list[Any], data: Any, steps: tuple[Step, ...]) -> None:
    if not places and "*" not in format_steps(steps):
        raise ValueError(explain_absence(data, steps))


_APPLY: dict[str, Callable[[Any, tuple[Step, ...], Any], None]] = {
    "set": _set,
    "default": _default,
    "remove": _remove,
    "rename": _rename,
    "cast": _cast,
}
