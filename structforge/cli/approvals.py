"""`structforge approval`: what waits for the caller, and its word."""

from __future__ import annotations

from typing import Annotated

import typer

from structforge.cli.executions import Comment, Decision, Form, Json, call

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the approval.")]
commands = typer.Typer(help="Approvals that wait for you.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="approval")


@commands.command("list")
def list_approvals(
    everybody: Annotated[bool, typer.Option("--all", help="Also those that wait for others, as far as seen.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """What waits for your word."""
    from structforge.cli.tables import clock, print_table
    from structforge.cli.terminal import print_json

    if everybody:
        page = call(lambda client: client.list_approvals(status="open", limit=limit))
    else:
        page = call(lambda client: client.list_approvals(mine=True, limit=limit))
    if as_json:
        return print_json(page.model_dump(mode="json")["items"])
    rows = [
        (str(it.id), it.workflow_name, it.path, clock(it.created_at), clock(it.deadline), it.message)
        for it in page.items
    ]
    return print_table(("approval", "workflow", "node", "since", "until", "message"), rows)


@commands.command("show")
def show(approval_id: Id, as_json: Json = False) -> None:
    """One approval: what it is about, who is asked, and what was said."""
    from structforge.cli.terminal import out, print_json, printable

    it = call(lambda client: client.get_approval(approval_id))
    if as_json:
        return print_json(it.model_dump(mode="json"))
    asked = ", ".join(it.approvers) or "anybody who may run the workflow"
    lines = [
        f"{it.workflow_name}, node {it.path}: {it.status}",
        it.message,
        f"execution {it.execution_id}; asked: {asked}; quorum {it.quorum}",
        *(f"{one.by}: {one.decision} {one.comment}".rstrip() for one in it.decisions),
    ]
    if it.form is not None:
        lines.append("it asks for a form: pass it with --form; --json shows its schema")
    for line in filter(None, lines):
        out().print(printable(line))
    return None


@commands.command("approve")
def approve(approval_id: Id, comment: Comment = "", form: Form = None, as_json: Json = False) -> None:
    """Approve."""
    _decide(approval_id, "approved", comment, form, as_json=as_json)


@commands.command("reject")
def reject(approval_id: Id, comment: Comment = "", form: Form = None, as_json: Json = False) -> None:
    """Reject."""
    _decide(approval_id, "rejected", comment, form, as_json=as_json)


def _decide(approval_id: str, decision: Decision, comment: str, form: str | None, *, as_json: bool) -> None:
    from structforge.cli.runs import read_input
    from structforge.cli.terminal import out, print_json, printable

    given = None if form is None else read_input(form, "--form")
    reply = call(lambda client: client.decide_approval(approval_id, decision, form=given, comment=comment))
    if as_json:
        return print_json(reply.model_dump(mode="json"))
    said = sum(one.decision == decision for one in reply.decisions)
    return out().print(printable(f"{reply.path}: {reply.status} ({said} {decision}, quorum {reply.quorum})"))
