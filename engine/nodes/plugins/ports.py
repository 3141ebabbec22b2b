"""What runs the nodes of isolated plugins; `engine.nodes.plugins.processes` is the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from engine.nodes.plugins.manifest import PluginSource

if TYPE_CHECKING:
    from engine.nodes.context import NodeContext, NodeResult


class PluginPort(Protocol):
    """Runs node types whose code is not in this process."""

    async def run(
        self, source: PluginSource, type_name: str, params: dict[str, Any], context: NodeContext, *, idempotent: bool
    ) -> NodeResult:
        """Run one attempt in a process of the plugin.

        Raises: NodeError of the node itself; TIMEOUT, RESOURCE_EXHAUSTED, OUTPUT_TOO_LARGE; EXECUTION_FAILED for a
        process that ended, OUTCOME_UNKNOWN if the node may have taken effect and is not idempotent.
        """
        ...
