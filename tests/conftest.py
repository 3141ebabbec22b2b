"""Real servers and a worker in this process, shared by all tests of a session that need the whole engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from engine.settings import Settings
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack, open_effects, open_servers, open_short_histories, open_stack
from tests.servers.nats import nats as nats
from tests.servers.rabbitmq import rabbitmq as rabbitmq
from tests.servers.s3 import s3 as s3
from tests.servers.valkey import locked_valkey as locked_valkey

# No time limit and no complaint of slowness: the machine may have other work. The same examples each time, so that a
# change fails by its own fault alone; `--hypothesis-profile=random` looks for others.
_ANY_MACHINE: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("random", **_ANY_MACHINE)
hypothesis.settings.register_profile("steady", derandomize=True, database=None, **_ANY_MACHINE)
hypothesis.settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-histories", default=None, help="keep the Temporal histories of the tests in a folder")
    parser.addoption("--label-histories", default="", help="a label at the end of their names")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Of `pytest -n 2`: how tests are dealt out."""
    from tests.spreading import Spreading

    return Spreading(config, log)


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        from tests.spreading import FailuresAtOnce

        config.pluginmanager.register(FailuresAtOnce(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        from tests.spreading import in_dealing_order

        items[:] = in_dealing_order(items)


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
    await record_histories(opened, request)


@pytest_asyncio.fixture(loop_scope="session")
async def short_lab(short_stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    opened = await Lab.open(short_stack)
    yield opened
    await record_histories(opened, request)


async def record_histories(lab: Lab, request: pytest.FixtureRequest, name: str | None = None) -> None:
    """Keep what the test has run, if that is asked for, under its name or another."""
    folder, label = (request.config.getoption(f"--{name}-histories") for name in ("record", "label"))
    if folder is not None:
        name = name or request.node.name.removeprefix("test_")
        await lab.record(Path(folder), f"{name}@{label}" if label else name)
