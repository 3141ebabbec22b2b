"""A node type that is known by its description alone; its code runs in the plugin's own processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.errors import Issue
from engine.nodes.context import NodeContext, NodeResult
from engine.nodes.node_type import NodeParams, NodeType
from engine.nodes.plugins.manifest import PluginFault, PluginSource
from engine.nodes.plugins.schema_issues import schema_issues_of
from engine.nodes.ports import required


@dataclass(frozen=True)
class DescribedType(NodeType):
    """As NodeType, with JSON Schemas in place of models. Its kind is always `io`: it runs in another process."""

    described: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def validate_params(self, raw: Mapping[str, Any], path: str) -> list[Issue]:
        return schema_issues_of(self.params_schema, raw, path)

    def parse_params(self, rendered: Mapping[str, Any]) -> Any:
        """The parameters as they are; the plugin's process checks them against its model."""
        return rendered

    @cached_property
    def params_schema(self) -> dict[str, Any]:
        return self.described["params_schema"]

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        return self.described["result_schema"]

    @cached_property
    def documentation(self) -> str:
        return self.described["documentation"]


def described_types(source: PluginSource, description: Mapping[str, Any]) -> list[DescribedType]:
    """Raises: PluginFault if the description lacks what a type needs."""
    try:
        return [_described_type(source, item) for item in description["types"]]
    except (KeyError, TypeError) as error:
        hint = f"run structforge plugin describe {source.name}"
        raise PluginFault(f"its description is damaged: {type(error).__name__} {error}", hint) from None


def _described_type(source: PluginSource, item: Mapping[str, Any]) -> DescribedType:
    return DescribedType(
        type=item["type"],
        name=item["name"],
        description=item["description"],
        category=item["category"],
        icon=item["icon"],
        version=item["version"],
        kind="io",
        ports=tuple(item["ports"]),
        default_port=item["default_port"],
        default_timeout_s=float(item["default_timeout_s"]),
        params_model=NodeParams,
        result=Any,
        examples=tuple(item["examples"]),
        expression_names=(),
        executor=_executor(source, item["type"], idempotent=bool(item["idempotent"])),
        opener=None,
        is_idempotent=bool(item["idempotent"]),
        ports_of=None,
        default_port_of=None,
        reads_upstream=bool(item["reads_upstream"]),
        described={name: item[name] for name in ("params_schema", "result_schema", "documentation")},
    )


def _executor(
    source: PluginSource, type_name: str, *, idempotent: bool
) -> Callable[[Any, NodeContext], Awaitable[NodeResult]]:
    async def execute(params: Any, context: NodeContext) -> NodeResult:
        plugins = required(context.ports.plugins, "processes for plugins")
        return await plugins.run(source, type_name, params, context, idempotent=idempotent)

    return execute
