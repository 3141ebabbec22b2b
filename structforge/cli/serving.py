"""Processes that stay: the whole system on one machine, or one role of it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    for command in (up, demo, worker, api, scheduler):
        app.command()(command)


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Run the example workflow first, then serve.")] = False,
) -> None:
    """Start everything on this machine and serve until Ctrl-C."""
    from engine.settings import load_settings
    from structforge import samples
    from structforge.cli.terminal import note
    from structforge.up import run_up

    settings = load_settings()
    if demo:
        settings = samples.open_loopback(settings)
        note(f"for the example, workflows on this server may call {samples.LOOPBACK}")
    asyncio.run(run_up(settings, with_demo=demo))


def demo() -> None:
    """Run the example workflow on real weather data, on a running server or on one for this call."""
    from structforge import samples
    from structforge.cli.runs import run_file

    run_file(samples.demo_document())


def worker(
    queues: Annotated[
        str, typer.Option("--queues", metavar="NAMES", help="Serve these task queues alone, by commas.")
    ] = "",
) -> None:
    """Serve executions and nodes, or some task queues alone; start as many as the work needs."""
    from engine.settings import load_settings
    from worker import serve, with_queues

    asyncio.run(serve(with_queues(load_settings(), queues)))


def api() -> None:
    """Serve the HTTP API."""
    from api.app import serve
    from engine.settings import load_settings

    asyncio.run(serve(load_settings()))


def scheduler() -> None:
    """Relay stranded starts and keep schedules; several may run."""
    from engine.settings import load_settings
    from scheduler_sync import serve

    asyncio.run(serve(load_settings()))
