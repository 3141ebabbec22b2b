"""`structforge up`: everything on one machine, from one command, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from engine.errors import ConfigurationError
from engine.settings import Settings
from structforge.devstack.application import child_environment, running_servers, running_stack
from structforge.devstack.folder import API_KEY_FILE
from structforge.devstack.stack import Endpoints

__all__ = ["run_up", "running_servers", "running_stack"]

DEMO_DOCUMENT = Path(__file__).parent.parent / "examples" / "weather.yaml"


async def run_up(settings: Settings, *, with_demo: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, then stop everything within 5 s.

    Prints the effective configuration without secrets and, once the API answers and workers take work, the line
    `ready <api url>`; `with_demo` then runs the example workflow on it.
    Raises: ConfigurationError if something does not start.
    """
    serving = asyncio.create_task(_serve(settings, with_demo))
    with _stop_signals(serving), contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(settings: Settings, with_demo: bool) -> None:
    async with running_stack(settings) as endpoints:
        _print_configuration(endpoints)
        print(f"ready {endpoints.api_url}", flush=True)
        if with_demo:
            await _run_demo(endpoints)
            _print_addresses(endpoints)
        await asyncio.Event().wait()


@contextlib.contextmanager
def _stop_signals(serving: asyncio.Task[None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        # Once only: a second Ctrl-C would cut the orderly stop short, and that is bounded anyway.
        for number in numbers:
            loop.add_signal_handler(number, _ignore)
        serving.cancel()

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _ignore() -> None:
    """A stop is under way."""


async def _run_demo(endpoints: Endpoints) -> None:
    """Run the example as any user would. Raises: ConfigurationError if it does not succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "structforge", "run", str(DEMO_DOCUMENT)),
        env=child_environment(endpoints.settings),
        cwd=DEMO_DOCUMENT.parent.parent,
        start_new_session=True,
    )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    if code != 0:
        raise ConfigurationError(f"the example {DEMO_DOCUMENT} did not succeed (exit code {code})")


def _print_configuration(endpoints: Endpoints) -> None:
    for name, value in _flatten(endpoints.settings.redacted(), ""):
        if value is not None:
            print(f"{name} = {value}")


def _print_addresses(endpoints: Endpoints) -> None:
    print(f"API            {endpoints.api_url}")
    print(f"API key        {endpoints.settings.data_dir / API_KEY_FILE}")
    print("Administrator  admin@localhost, once it has a password: structforge user set-password")
    print(f"Temporal UI    {endpoints.temporal_ui_url or endpoints.temporal_address}")
    print("Press Ctrl-C to stop.", flush=True)


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, value
