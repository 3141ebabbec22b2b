"""Every connection over TLS with certificates on both sides, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from redis.asyncio import Redis
from redis.exceptions import RedisError

import worker
from api.app import create_app, open_first_resources
from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.clients.tls import tls_options
from engine.errors import SystemFault
from engine.settings import Settings
from models.migrations import at_head
from models.session import Database
from structforge.doctor import diagnose
from tests.models.server import free_port
from tests.security.certificates import Authority, behind_tls, trusting

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture(scope="module")
def client_pair(ours: Authority) -> dict[str, Path]:
    return ours.issue("client", "client.example")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(engine_servers: Settings, ours: Authority) -> AsyncIterator[Settings]:
    async with behind_tls(engine_servers, ours) as settings:
        yield settings


# ---- all of them at once


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[None]:
    """A worker and the API, with nothing but what the settings say."""
    async with (
        worker.open_runtime(settings) as runtime,
        worker.build_worker(settings, runtime),
        open_first_resources(settings) as resources,
    ):
        options = tls_options(settings.api)
        config = uvicorn.Config(
            create_app(settings, resources), host="127.0.0.1", port=settings.api.port, log_config=None, **options
        )
        server = uvicorn.Server(config)
        running = asyncio.ensure_future(server.serve())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not server.started and not running.done():  # noqa: ASYNC110 (a flag is all that uvicorn has)
                    await asyncio.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            await running


def trusted_by(ours: Authority, pair: dict[str, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ours.ca)
    if pair is not None:
        context.load_cert_chain(pair["tls_cert"], pair["tls_key"])
    return context


async def test_an_execution_runs_with_tls_on_every_connection_and_certificates_on_both_sides(
    served: Settings, ours: Authority, client_pair: dict[str, Path]
) -> None:
    key, port = "sf_" + uuid4().hex, free_port()
    own = {**ours.issue("api"), "tls_client_ca": ours.ca, "key": key, "port": port}
    settings = trusting(served, ours.ca, client_pair).override(
        {"api": own, "worker": {"task_queue": f"tls-{uuid4().hex[:8]}", "evaluator_processes": 1}}
    )
    settings = settings.override({"codec": {"encrypt": True}, "database": {"owner_url": None}})
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        serving(settings),
        httpx2.AsyncClient(
            base_url=settings.api.url,
            verify=trusted_by(ours, client_pair),
            headers=headers,
            trust_env=False,
            timeout=60,
        ) as api,
    ):
        assert settings.api.url.startswith("https://")
        assert (await api.get("/readyz")).status_code == 200
        document = {
            "name": f"tls-{uuid4().hex[:8]}",
            "nodes": [{"id": "double", "type": "transform", "params": {"mapping": "{{ input.n * 2 }}"}}],
            "outputs": {"n": "{{ nodes.double.output }}"},
        }
        answer = await api.post(
            "/api/v1/executions?mode=sync&wait_s=50", json={"document": document, "input": {"n": 21}}
        )
        assert answer.status_code < 300, answer.text
        assert (answer.json()["status"], answer.json()["output"]) == ("success", {"n": 42}), answer.text
        await api_refuses(settings, ours)


async def api_refuses(settings: Settings, ours: Authority) -> None:
    """Those without a certificate, and those who do not trust the authority."""
    for context in (trusted_by(ours, None), ssl.create_default_context()):
        async with httpx2.AsyncClient(base_url=settings.api.url, verify=context, trust_env=False) as client:
            with pytest.raises(httpx2.HTTPError):
                await client.get("/healthz")
    async with httpx2.AsyncClient(base_url=settings.api.url.replace("https", "http"), trust_env=False) as client:
        with pytest.raises(httpx2.HTTPError):
            await client.get("/healthz")


# ---- each by itself


async def to_temporal(settings: Settings) -> None:
    assert settings.temporal.address is not None
    objects = ObjectStore.open("memory:///")
    client = await connect(settings.temporal.address, "default", objects, protection_of(settings))
    assert await client.service_client.check_health()


async def to_postgresql(settings: Settings) -> None:
    assert settings.database.url is not None
    database = await Database.open(settings.database.url.get_secret_value(), pool_size=1, timeout_s=5)
    await database.close()


async def to_redis(settings: Settings) -> None:
    assert settings.redis.url is not None
    async with Redis.from_url(settings.redis.url.get_secret_value(), socket_timeout=5) as redis:
        await redis.ping()


async def by_migrations(settings: Settings) -> None:
    assert settings.database.owner_url is not None
    assert await at_head(settings.database.owner_url.get_secret_value())


Way = Callable[[Settings], Awaitable[None]]
WAYS = pytest.mark.parametrize(
    "way", [to_temporal, to_postgresql, to_redis, by_migrations], ids=lambda way: way.__name__
)
REFUSED = (SystemFault, RedisError, OSError)


@WAYS
async def test_with_the_authority_and_a_certificate_it_connects(
    served: Settings, ours: Authority, client_pair: dict[str, Path], way: Way
) -> None:
    await way(trusting(served, ours.ca, client_pair))


@WAYS
async def test_a_server_of_another_authority_is_refused(
    served: Settings, theirs: Authority, client_pair: dict[str, Path], way: Way
) -> None:
    with pytest.raises(REFUSED):
        await way(trusting(served, theirs.ca, client_pair))


@WAYS
async def test_a_client_without_a_certificate_is_refused(served: Settings, ours: Authority, way: Way) -> None:
    with pytest.raises(REFUSED):
        await way(trusting(served, ours.ca))


@WAYS
async def test_a_client_with_a_certificate_of_another_authority_is_refused(
    served: Settings, ours: Authority, theirs: Authority, way: Way
) -> None:
    with pytest.raises(REFUSED):
        await way(trusting(served, ours.ca, theirs.issue("client", "client.example")))


@WAYS
async def test_a_server_under_another_name_is_refused(
    engine_servers: Settings, ours: Authority, client_pair: dict[str, Path], way: Way
) -> None:
    async with behind_tls(engine_servers, ours, "elsewhere.example") as settings:
        with pytest.raises(REFUSED):
            await way(trusting(settings, ours.ca, client_pair))


async def test_temporal_may_be_expected_under_a_name_of_its_own(
    engine_servers: Settings, ours: Authority, client_pair: dict[str, Path]
) -> None:
    async with behind_tls(engine_servers, ours, "temporal.example") as settings:
        named = trusting(settings, ours.ca, client_pair).override({"temporal": {"tls_server_name": "temporal.example"}})
        await to_temporal(named)


@pytest.mark.parametrize("way", [to_temporal, to_redis], ids=lambda way: way.__name__)
async def test_without_tls_nothing_gets_through(served: Settings, way: Way) -> None:
    with pytest.raises(REFUSED):
        await asyncio.wait_for(way(served), 15)


# ---- the doctor


async def findings(settings: Settings) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.ok, f"{check.detail} {check.hint}") for check in await diagnose(settings)}


async def test_the_doctor_checks_certificates_and_connections(
    served: Settings, ours: Authority, client_pair: dict[str, Path], tmp_path: Path
) -> None:
    settings = trusting(served, ours.ca, client_pair).override({"data_dir": tmp_path, "database": {"owner_url": None}})
    found = await findings(settings)
    for name in ("tls temporal", "tls database", "tls redis", "database", "migrations", "redis", "temporal"):
        assert found[name][0], (name, found)
    assert "over TLS" in found["temporal"][1]
    assert found["expiry of STRUCTFORGE_REDIS__TLS_CERT"][0]


async def test_the_doctor_names_what_does_not_fit(
    served: Settings, ours: Authority, theirs: Authority, client_pair: dict[str, Path], tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {
        "data_dir": tmp_path,
        "redis": {"tls_ca": tmp_path / "nowhere.pem"},
        "database": {"tls_key": theirs.issue("other", "x.example")["tls_key"], "owner_url": None},
        "temporal": {"tls_ca": theirs.ca},
    }
    found = await findings(trusting(served, ours.ca, client_pair).override(wrong))
    assert not found["tls redis"][0]
    assert "STRUCTFORGE_REDIS__TLS_CA" in found["tls redis"][1]
    assert "No such file" in found["tls redis"][1]
    assert not found["tls database"][0]
    assert "STRUCTFORGE_DATABASE__TLS_CERT" in found["tls database"][1]
    assert found["tls temporal"][0], "the file is fine"
    assert not found["temporal"][0], "and the server is not theirs"
