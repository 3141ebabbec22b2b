"""`structforge run`: a document, its input, and the result."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import ConfigurationError, Conflict

if TYPE_CHECKING:
    from engine.settings import Settings
    from structforge.cli.connection import Server
    from structforge.cli.documents import Document
    from structforge.cli.following import View
    from structforge.cli.signals import Interruption
    from structforge.client import AsyncClient

_CANCEL_PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a document is run; `timeout_s` None waits without end."""

    input: Any = None
    trigger: str | None = None
    timeout_s: float | None = None
    as_json: bool = False


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML or JSON document; - is standard input.")],
    input_text: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="The execution's input.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")] = False,
    trigger: Annotated[
        str | None, typer.Option(metavar="ID", help="The trigger that fires, if there are several.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Cancel after so long, such as 5m.")] = None,
) -> None:
    """Run a document on the running server, or on one started for this call, and print its result.

    Exit code 0: success. 1: failed, cancelled or timed out. 2: the document or the input is not valid.
    """
    given = None if input_text is None else read_input(input_text)
    run_file(file, Options(given, trigger, _seconds(timeout), as_json))


def run_file(file: Path, options: Options | None = None) -> None:
    """Check the document, run it, print the result. Raises: typer.Exit with the exit code; StructForgeError."""
    from engine.dag.inputs import check_input
    from engine.settings import load_settings
    from structforge.cli.documents import load_document, shown
    from structforge.cli.terminal import show_issues

    settings = load_settings()
    chosen = options or Options()
    document = load_document(file, settings.limits)
    if document.warnings:
        show_issues(document.warnings, shown(file))
    check_input(document.spec, chosen.input)
    _check_trigger(document, chosen.trigger)
    code = asyncio.run(_run(settings, document, file, chosen))
    if code:
        raise typer.Exit(code)


def read_input(text: str, option: str = "--input") -> Any:
    """`JSON`, or `@FILE` that holds JSON. Raises: ConfigurationError."""
    from structforge.cli.documents import read_file

    source = option
    try:
        if text.startswith("@"):
            source = f"{option} {text}"
            text = read_file(Path(text[1:])).decode("utf-8-sig")
        return json.loads(text)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{source} is no UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        hint = f"quote it for the shell, as in {option} '{{\"name\": 1}}', or name a file: {option} @data.json"
        raise ConfigurationError(f"{source} is no JSON: {error}", details={"hint": hint}) from None


def _seconds(text: str | None) -> float | None:
    from engine.dag.durations import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise ConfigurationError(f"--timeout: {error}") from None


def _check_trigger(document: Document, trigger: str | None) -> None:
    from engine.nodes.registry import catalogue_of
    from engine.settings import load_settings

    catalogue = catalogue_of(load_settings())
    triggers = [
        node.id for node in document.spec.nodes if (found := catalogue.get(node.type)) and found.kind == "trigger"
    ]
    if trigger is not None and trigger not in triggers:
        hint = f"there are: {', '.join(triggers)}" if triggers else "the document has none"
        raise ConfigurationError(f"--trigger: there is no trigger {trigger}", details={"hint": hint})
    if trigger is None and len(triggers) > 1:
        hint = f"name one with --trigger: {', '.join(triggers)}"
        raise ConfigurationError(f"the document has {len(triggers)} triggers", details={"hint": hint})


async def _run(settings: Settings, document: Document, file: Path, options: Options) -> int:
    from structforge.cli.signals import Interruption

    async with Interruption() as stop:
        try:
            async with _server(settings, file) as server:
                code = await _run_on(server, document, file, options, stop)
        except asyncio.CancelledError:
            return stop.exit_code
    return stop.exit_code if stop.number is not None else code


@contextlib.asynccontextmanager
async def _server(settings: Settings, file: Path) -> AsyncGenerator[Server]:
    """The running server, or one that lasts as long as this call."""
    from structforge import samples
    from structforge.cli.connection import Server, await_server
    from structforge.cli.terminal import note

    found = await await_server(settings)
    if found is not None:
        yield found
        return
    note("no server is running: starting one for this call")
    from structforge.up import running_stack  # two seconds of imports, of no use where a server runs

    if samples.is_sample(file):
        settings = samples.open_loopback(settings)
        note(f"this is an example: workflows on that server may call {samples.LOOPBACK}")
    async with running_stack(settings) as endpoints:
        assert endpoints.api_url is not None
        assert endpoints.api_key is not None
        yield Server(endpoints.api_url, endpoints.api_key, endpoints.settings.files_root)


async def _run_on(server: Server, document: Document, file: Path, options: Options, stop: Interruption) -> int:
    from structforge.cli.following import all_nodes, progress_of
    from structforge.cli.results import print_line, print_result
    from structforge.client import AsyncClient
    from structforge.progress import Board

    async with AsyncClient(server.url, server.key) as client:
        given = await _prepared(client, server, document, file, options.input)
        stop.gently = True  # from here on there may be an execution to cancel
        started = await client.run(document.raw, given, trigger=options.trigger)
        execution_id = str(started.id)
        with progress_of(Board(document.spec.name, document.spec)) as view:
            await _to_the_end(client, execution_id, view, options.timeout_s, stop)
        execution = await client.get_execution(execution_id, full=True)
        if options.as_json:
            print_line(execution, await all_nodes(client, execution_id, full=True))
        else:
            print_result(execution)
    return 0 if execution.status == "success" else 1


async def _prepared(client: AsyncClient, server: Server, document: Document, file: Path, given: Any) -> Any:
    """The input; before an example runs, its data are put where it reads them, and it learns the server's address."""
    from structforge import samples
    from structforge.cli.terminal import note

    if not samples.is_sample(file):
        return given
    if server.files_root is None:
        note("the server is not of this machine's data folder: it must have the examples' data already")
        return given
    tenant = str((await client.get_me()).tenant_id)
    for path in await asyncio.to_thread(samples.place_files, server.files_root, tenant):
        note(f"placed {path} in the workflow files")
    return samples.with_service(document.spec, given, server.url)


async def _to_the_end(
    client: AsyncClient, execution_id: str, view: View, timeout_s: float | None, stop: Interruption
) -> None:
    """Follow the execution; a signal or the time-out cancels it, and its end is awaited all the same."""
    from structforge.cli.following import follow
    from structforge.cli.terminal import note
    from structforge.progress import ENDED

    if timeout_s is not None:
        asyncio.get_running_loop().call_later(timeout_s, stop.asked.set)
    execution = await follow(client, execution_id, view, stop)
    if execution.status in ENDED:
        return
    note(f"cancelling execution {execution_id}")
    with contextlib.suppress(Conflict):  # it has ended in this moment
        await client.cancel_execution(execution_id)
    try:
        async with asyncio.timeout(_CANCEL_PATIENCE_S):
            await follow(client, execution_id, view)
    except TimeoutError:
        note(f"execution {execution_id} was told to stop, but has not ended yet")
