"""Tests of plugins: load one as a worker does, and run its nodes without a server.

plugin = load_plugin(Path(__file__).parent)

def test_greets() -> None:
    assert plugin.run("acme.greet", {"whom": "Ada"}).output == {"text": "Hello Ada"}
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from engine.errors import Issue
from engine.nodes.context import NodeContext, NodeResult
from engine.nodes.node_type import NodeType
from engine.nodes.plugins.compatibility import check_requirement
from engine.nodes.plugins.description import describe
from engine.nodes.plugins.loading import load_types
from engine.nodes.plugins.manifest import MANIFEST, PluginFault, PluginManifest, read_manifest

__all__ = ["LoadedPlugin", "PluginFault", "load_plugin"]


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin whose code is loaded into this process."""

    manifest: PluginManifest
    types: Mapping[str, NodeType]

    def issues(self, type_name: str, params: Mapping[str, Any]) -> list[Issue]:
        """What validation says of a node with these parameters."""
        return self.types[type_name].validate_params(params, "params")

    def run(self, type_name: str, params: Mapping[str, Any], **context: Any) -> NodeResult:
        """Check the parameters, run the node and hold its output against its own schema.

        `context` are fields of NodeContext. Raises: NodeError as the node does; jsonschema.ValidationError.
        """
        node_type = self.types[type_name]
        result = asyncio.run(node_type.execute(node_type.parse_params(params), NodeContext(**context)))
        jsonschema.validate(result.output, node_type.result_schema)
        return result

    def check_examples(self) -> None:
        """Every type has examples, and they are valid. Raises: AssertionError naming what is not."""
        for node_type in self.types.values():
            assert node_type.examples, f"{node_type.type} has no example"
            for example in node_type.examples:
                issues = self.issues(node_type.type, example["params"])
                assert issues == [], f"{node_type.type}, {example['title']}: {issues}"


def load_plugin(path: Path) -> LoadedPlugin:
    """The plugin of a folder, or of a manifest beside a single file.

    Raises: PluginFault for everything that would keep the engine from using it.
    """
    source = read_manifest(path / MANIFEST if path.is_dir() else path)
    check_requirement(source.manifest.requires_structforge)
    types = load_types(source)
    if source.manifest.isolated:
        describe(source, types, python=platform.python_version())
    return LoadedPlugin(source.manifest, {item.type: item for item in types})
