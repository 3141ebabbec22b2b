"""`structforge execution`: what runs and what has run on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from engine.dag.spec import WorkflowSpec
    from structforge.client import ApprovalReply, AsyncClient, ExecutionDetail, NodeExecutionReply

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="Path of the node that waits.")]
Comment = Annotated[str, typer.Option(help="What to add for the record.")]
Form = Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="The form, filled in.")]
Iteration = Annotated[list[int] | None, typer.Option(help="Which pass of a loop; repeated for nested ones.")]
Decision = Literal["approved", "rejected"]
Result = TypeVar("Result")
commands = typer.Typer(help="Executions on the server.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    from structforge.cli import execution_records

    execution_records.register(commands)
    app.add_typer(commands, name="execution")


@commands.command("list")
def list_executions(
    status: Annotated[str | None, typer.Option(help="Only these, such as running,failed.")] = None,
    workflow: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this workflow.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The newest executions."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json
    from structforge.progress import in_words

    page = call(lambda client: client.list_executions(workflow_id=workflow, status=status, limit=limit))
    if as_json:
        return print_json(page.model_dump(mode="json")["items"])
    rows = [
        (str(it.id), it.workflow_name, it.status, it.trigger, clock(it.created_at), in_words(it.duration_ms))
        for it in page.items
    ]
    return print_table(("id", "workflow", "status", "trigger", "created", "duration"), rows)


@commands.command("get")
def get(execution_id: Id, as_json: Json = False) -> None:
    """One execution with its nodes and its output."""
    from structforge.cli.following import all_nodes
    from structforge.cli.results import print_line, print_result
    from structforge.cli.terminal import err

    async def fetch(client: AsyncClient) -> tuple[ExecutionDetail, list[NodeExecutionReply]]:
        return await client.get_execution(execution_id, full=True), await all_nodes(client, execution_id, full=as_json)

    execution, nodes = call(fetch)
    if as_json:
        return print_line(execution, nodes)
    err().print(_heading(execution))
    _print_nodes(nodes)
    return print_result(execution)


@commands.command("watch")
def watch(execution_id: Id) -> None:
    """Follow an execution to its end; Ctrl-C leaves it running. The exit code is that of `run`."""
    from structforge.cli.following import follow, progress_of
    from structforge.cli.results import print_result
    from structforge.cli.terminal import FAILED
    from structforge.progress import Board

    async def to_the_end(client: AsyncClient) -> ExecutionDetail:
        known = await client.get_execution(execution_id)
        with progress_of(Board(known.workflow_name, await _spec(client, known))) as view:
            await follow(client, execution_id, view)
        return await client.get_execution(execution_id, full=True)

    execution = call(to_the_end)
    print_result(execution)
    if execution.status != "success":
        raise typer.Exit(FAILED)


@commands.command("cancel")
def cancel(execution_id: Id) -> None:
    """Stop an execution; what has not finished is cancelled."""
    _command(execution_id, lambda client: client.cancel_execution(execution_id))


@commands.command("pause")
def pause(execution_id: Id) -> None:
    """Let running nodes finish and start nothing new."""
    _command(execution_id, lambda client: client.pause_execution(execution_id))


@commands.command("resume")
def resume(execution_id: Id) -> None:
    """Go on after a pause."""
    _command(execution_id, lambda client: client.resume_execution(execution_id))


@commands.command("rerun")
def rerun(
    execution_id: Id,
    from_node: Annotated[str | None, typer.Option("--from", metavar="NODE", help="Keep what ran before it.")] = None,
    input_text: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="Another input; the old one if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an execution again as a new one, whole or from a node on."""
    from structforge.cli.runs import read_input
    from structforge.cli.terminal import out, print_json
    from structforge.client import UNSET

    given = UNSET if input_text is None else read_input(input_text)
    started = call(lambda client: client.rerun_execution(execution_id, from_node=from_node, input=given))
    if as_json:
        return print_json({"execution_id": str(started.id), "status": started.status})
    return out().print(f"{started.id}")


@commands.command("approvals")
def approvals(
    status: Annotated[str, typer.Option(help="Only these, such as open,approved.")] = "open",
    execution: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this execution.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """What waits for people."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json

    page = call(lambda client: client.list_approvals(status=status, execution_id=execution, limit=limit))
    if as_json:
        return print_json(page.model_dump(mode="json")["items"])
    rows = [
        (str(it.execution_id), it.workflow_name, _place(it), it.status, clock(it.created_at), it.message)
        for it in page.items
    ]
    return print_table(("execution", "workflow", "node", "status", "since", "message"), rows)


@commands.command("approve")
def approve(
    execution_id: Id,
    node: Node,
    comment: Comment = "",
    form: Form = None,
    iteration: Iteration = None,
    as_json: Json = False,
) -> None:
    """Approve what a node of an execution waits for."""
    _decide(execution_id, node, "approved", comment, form, iteration, as_json=as_json)


@commands.command("reject")
def reject(
    execution_id: Id,
    node: Node,
    comment: Comment = "",
    form: Form = None,
    iteration: Iteration = None,
    as_json: Json = False,
) -> None:
    """Reject what a node of an execution waits for."""
    _decide(execution_id, node, "rejected", comment, form, iteration, as_json=as_json)


def _decide(
    execution_id: str,
    node: str,
    decision: Decision,
    comment: str,
    form: str | None,
    iteration: list[int] | None,
    *,
    as_json: bool,
) -> None:
    from structforge.cli.runs import read_input
    from structforge.cli.terminal import out, print_json, printable

    given = None if form is None else read_input(form, "--form")
    reply = call(
        lambda client: client.approve_node(
            execution_id, node, decision, form=given, comment=comment, iteration=iteration or []
        )
    )
    if as_json:
        return print_json(reply.model_dump(mode="json"))
    said = sum(one.decision == decision for one in reply.decisions)
    return out().print(printable(f"{_place(reply)}: {reply.status} ({said} {decision}, quorum {reply.quorum})"))


def _place(approval: ApprovalReply) -> str:
    number = ".".join(map(str, approval.iteration))
    return f"{approval.path}[{number}]" if number else approval.path


async def _spec(client: AsyncClient, execution: ExecutionDetail) -> WorkflowSpec | None:
    """The document that runs, if it is still the newest version."""
    from engine.dag.parsing import parse_spec

    workflow = await client.get_workflow(execution.workflow_id)
    return parse_spec(workflow.document) if workflow.version_id == execution.version_id else None


def call(work: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
    from engine.settings import load_settings
    from structforge.cli.connection import required_server
    from structforge.client import AsyncClient

    server = required_server(load_settings())

    async def connected() -> Result:
        async with AsyncClient(server.url, server.key) as client:
            return await work(client)

    return asyncio.run(connected())


def _command(execution_id: str, work: Callable[[AsyncClient], Awaitable[ExecutionDetail]]) -> None:
    from structforge.cli.terminal import out

    execution = call(work)
    out().print(f"{execution_id}: {execution.status}")


def _heading(execution: ExecutionDetail) -> Any:
    from rich.text import Text

    from structforge.cli.tables import clock
    from structforge.cli.terminal import printable

    text = Text(printable(execution.workflow_name), style="bold")
    text.append(f"  started {clock(execution.started_at or execution.created_at)}", style="not bold dim")
    return text


def _print_nodes(nodes: list[NodeExecutionReply]) -> None:
    from structforge.cli.results import node_key
    from structforge.cli.tables import print_table
    from structforge.progress import in_words

    rows = [
        (node_key(node), node.type, node.status, str(node.attempts or ""), in_words(node.duration_ms),
         "" if node.error is None else f"{node.error.get('code')}: {node.error.get('message')}")
        for node in nodes
    ]  # fmt: skip
    print_table(("node", "type", "status", "attempts", "duration", "error"), rows)
