"""The texts of a new plugin; `$name` is filled in."""

from __future__ import annotations

MANIFEST = """\
name = "$plugin"
version = "0.1.0"
description = "What this plugin is for"
requires_structforge = "$requires"
node_types = ["$type"]
"""

ISOLATION = """
# Its nodes run in processes of their own; a crash, a leak or an endless loop in them ends that process alone.
isolated = true

[environment]
# python = ".venv/bin/python"   # an interpreter with structforge and what the plugin needs; by default the worker's
memory_mb = 512
processes = 4
"""

NODE = '''\
"""The node type $type."""

from __future__ import annotations

from pydantic import Field

from structforge.plugin import NodeContext, NodeParams, NodeResult, ResultModel, node


class ${class_name}Params(NodeParams):
    """Greet somebody: the first sentence is what lists of node types show."""

    whom: str = Field(min_length=1, description="Name to greet")


class ${class_name}Result(ResultModel):
    text: str = Field(description="The greeting")


@node(
    "$type",
    category="$category",
    kind="io",  # "local" for a pure function of its parameters
    idempotent=True,  # whether a lost attempt may simply run again
    result=${class_name}Result,
    examples=[{"title": "Greet Ada", "params": {"whom": "Ada"}}],
)
async def $node(params: ${class_name}Params, context: NodeContext) -> NodeResult:
    context.log("info", "greeting", attempt=context.attempt)
    return NodeResult({"text": f"Hello {params.whom}"})
'''

TEST = """\
from __future__ import annotations

from pathlib import Path

from structforge.plugin_testing import load_plugin

plugin = load_plugin(Path(__file__).parent)


def test_examples_are_valid() -> None:
    plugin.check_examples()


def test_node_greets() -> None:
    assert plugin.run("$type", {"whom": "Ada"}).output == {"text": "Hello Ada"}


def test_nobody_cannot_be_greeted() -> None:
    (issue,) = plugin.issues("$type", {"whom": ""})
    assert (issue.code, issue.path) == ("INVALID_PARAM", "params.whom")
"""

README = """\
# $plugin

A plugin for StructForge with the node type `$type`.

```yaml
nodes:
  - {id: hello, type: $type, params: {whom: Ada}}
```

- Test it: `pytest .`
- Use it: put this folder into the plugin folder (`STRUCTFORGE_PLUGINS__FOLDER`) of API, scheduler and workers, and
  restart them. `structforge plugin list` shows whether it was found.
"""

README_ISOLATED = """\
- It runs in processes of its own. Whenever its code changes, `structforge plugin describe $plugin` writes
  `description.json`, from which the API and the workers know its node types without loading it.
"""
