"""Real servers and a worker in this process, shared by all tests of a session that need the whole engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.settings import Settings
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack, open_effects, open_servers, open_short_histories, open_stack
from tests.servers.nats import nats as nats
from tests.servers.rabbitmq import rabbitmq as rabbitmq
from tests.servers.valkey import locked_valkey as locked_valkey


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-histories", default=None, help="write the Temporal histories of the tests to a folder")


@pytest.fixture(scope="session")
def _only_embedded() -> None:
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            del os.environ[name]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def effects() -> AsyncIterator[Effects]:
    async with open_effects() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine_servers(_only_embedded: None) -> AsyncIterator[Settings]:
    async with open_servers() as settings:
        yield settings


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(engine_servers: Settings, effects: Effects) -> AsyncIterator[Stack]:
    async with open_stack(engine_servers, effects) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def short_stack(engine_servers: Settings, effects: Effects) -> AsyncIterator[Stack]:
    """As `stack`, on a Temporal server that suggests continue-as-new after 30 events."""
    async with open_short_histories(engine_servers) as settings, open_stack(settings, effects) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def lab(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    opened = await Lab.open(stack)
    yield opened
    await _record(opened, request)


@pytest_asyncio.fixture(loop_scope="session")
async def short_lab(short_stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    opened = await Lab.open(short_stack)
    yield opened
    await _record(opened, request)


async def _record(lab: Lab, request: pytest.FixtureRequest) -> None:
    folder = request.config.getoption("--record-histories")
    if folder is not None:
        await lab.record(Path(folder), request.node.name.removeprefix("test_"))
