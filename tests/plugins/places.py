"""Plugin folders for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.nodes.plugins.manifest import PluginSource, read_manifest
from engine.nodes.plugins.refreshing import describe_plugin

HOSTILE = Path(__file__).parent / "hostile"
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
NODE = '''
from structforge.plugin import NodeContext, NodeParams, NodeResult, node

class GreetParams(NodeParams):
    """Greet."""

@node("{name}.greet", category="data", kind="local", examples=[{{"title": "x", "params": {{}}}}])
async def greet(params: GreetParams, context: NodeContext) -> NodeResult:
    return NodeResult("hello")
'''


async def install_hostile(folder: Path) -> PluginSource:
    """A described copy of the hostile plugin."""
    shutil.copytree(HOSTILE, folder / "hostile")
    source = read_manifest(folder / "hostile" / "plugin.toml")
    await describe_plugin(source)
    return source


def write_plugin(folder: Path, name: str, *, code: str | None = None, manifest: str = "", version: str = "1.0") -> Path:
    """A plugin with the type `<name>.greet`; `manifest` is added to its manifest."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "plugin.toml").write_text(f'name = "{name}"\nversion = "{version}"\n{manifest}')
    (place / "nodes.py").write_text(NODE.format(name=name) if code is None else code)
    return place
