"""Tool: run a command that the operator registered."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.ports import required

_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"


class SystemCommandParams(NodeParams):
    """Run a command that the operator registered, without a shell.

    Which program runs, with which options, for how long and with which environment stands in the operator's file
    `commands.yaml` (`STRUCTFORGE_COMMANDS__FILE`); without that file there are no commands. A node names a command and
    gives its arguments, each of which is checked and becomes exactly one argument of the program.
    """

    command: str = Field(pattern=_NAME, description="Name of a registered command")
    args: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict[str, Any], description="Its arguments by name: text, numbers, true or false"
    )

    def texts(self) -> dict[str, str]:
        """Arguments as text; null is left out."""
        return {name: _text(value) for name, value in self.args.items() if value is not None}


class SystemCommandResult(ResultModel):
    exit_code: int = Field(description="One that counts as success; any other fails the node")
    stdout: str = Field(description="What it wrote to its standard output")
    stderr: str = Field(description="What it wrote to its standard error")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@node(
    "system_command",
    category="tool",
    kind="io",
    icon="terminal",
    idempotent=False,
    result=SystemCommandResult,
    examples=[
        {
            "title": "Resize a picture",
            "params": {"command": "resize", "args": {"source": "{{ input.file }}", "width": 640, "height": 480}},
        }
    ],
)
async def system_command(params: SystemCommandParams, context: NodeContext) -> NodeResult:
    commands = required(context.ports.commands, "system commands")
    outcome = await commands.run(params.command, params.texts(), context.own_deadline_s)
    return NodeResult({"exit_code": outcome.exit_code, "stdout": outcome.stdout, "stderr": outcome.stderr})
