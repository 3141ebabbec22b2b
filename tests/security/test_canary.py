"""A unique secret in a credential of every type, sent to servers that echo it: nothing that is kept may hold one."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import AsyncIterator, Generator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from engine.telemetry.logs import QUIET
from models.keyring import Keys
from models.repositories.ai_models import AiModels, ModelFields
from models.repositories.credentials import Credentials, NewCredential
from models.sealing import Binding
from tests.engine.workflows.lab import Lab, graph
from tests.security.echo import Echo, running_echo, running_talkative
from tests.security.traces import Needles, found
from tests.servers.token_server import TokenServer, running_token_server

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOSTS = ("127.0.0.1",)
SENT = ("header-key", "query-key", "bearer", "basic", "ai", "partner-bearer")  # what the echoing server must have heard


class Canaries:
    """Credentials of one tenant, each with a secret of its own."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.secrets: dict[str, str] = {}

    def new(self, name: str) -> str:
        # With signs that URL, JSON and base64 forms write differently.
        self.secrets[name] = f'canary-{name}-{uuid4().hex}/+é"&'
        return self.secrets[name]

    def plain(self, name: str) -> str:
        self.secrets[name] = f"canary-{name}-{uuid4().hex}"
        return self.secrets[name]

    async def keep(self, name: str, kind: str, **fields: Any) -> None:
        hosts = () if kind in ("hmac", "connection", "smtp") else HOSTS
        new = NewCredential(id=uuid4(), name=name, type=kind, allowed_hosts=hosts)
        sealed = (
            Keys(self._lab.stack.settings).ring().seal(fields, Binding(self._lab.tenant.uuid, new.id, 1, kind, hosts))
        )
        await Credentials(self._lab.stack.runtime.database).create(self._lab.tenant, new, sealed)


@contextlib.contextmanager
def listening() -> Generator[io.StringIO]:
    """All that a process logs, at any level but for the loggers that the product keeps quiet."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(exc_info)s"))
    before = {name: logging.getLogger(name).level for name in ("", *QUIET)}
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def call(node: str, url: str, credential: str, kind: str = "http", **params: Any) -> dict[str, Any]:
    return {
        "id": node, "type": kind, "params": {"url": url, **params}, "credential": credential, "on_error": "continue",
    }  # fmt: skip


async def over_http(lab: Lab, canaries: Canaries, echo: Echo) -> None:
    await canaries.keep("header-key", "api_key", value=canaries.plain("header-key"), header="x-custom", prefix="Key ")
    await canaries.keep("query-key", "api_key", value=canaries.new("query-key"), query="key")
    await canaries.keep("bearer", "bearer", token=canaries.plain("bearer"))
    await canaries.keep("basic", "basic", username="odd-length", password=canaries.new("basic"))
    for name in ("header-key", "query-key", "bearer", "basic"):
        nodes = [call(path, echo.url(f"/{path}"), name) for path in ("json", "text", "bytes", "large", "fail", "deny")]
        await lab.run(graph(*nodes, outputs={"all": "{{ nodes.json.output }}"}))
        cached = {**call("cached", echo.url("/json"), name), "cache": {"ttl": "1h"}}
        assigned = {**call("kept", echo.url("/text"), name), "assign": {"seen": "{{ nodes.kept.output.body }}"}}
        await lab.run(graph(cached, assigned))
    # Unhandled, so that the failure itself goes to Temporal and into the execution's row.
    await lab.run(graph({**call("fails", echo.url("/fail"), "bearer"), "on_error": "fail"}))
    await lab.run(graph({**call("gone", "http://127.0.0.1:1/", "query-key"), "on_error": "fail"}))


async def over_oauth2(lab: Lab, canaries: Canaries, server: TokenServer) -> None:
    fields = {"token_url": server.token_url, "client_id": server.client_id}
    await canaries.keep("client", "oauth2_client_credentials", **fields, client_secret=server.client_secret)
    await canaries.keep("stranger", "oauth2_client_credentials", **fields, client_secret=canaries.new("stranger"))
    resource = f"http://127.0.0.1:{server.port}/resource"
    for _ in range(2):
        await lab.run(graph(call("known", resource, "client"), call("unknown", resource, "stranger")))
    canaries.secrets.update({"client": server.client_secret, "token": server.prefix})


async def over_webhooks(lab: Lab, canaries: Canaries, echo: Echo) -> None:
    await canaries.keep("partner", "hmac", secret=canaries.new("partner"))
    await canaries.keep("partner-bearer", "bearer", token=canaries.plain("partner-bearer"))
    for name in ("partner", "partner-bearer"):
        nodes = [call(path, echo.url(f"/{path}"), name, "webhook_send", body={"n": 1}) for path in ("json", "fail")]
        await lab.run(graph(*nodes))


async def over_connections(lab: Lab, canaries: Canaries) -> None:
    refused = b"-ERR unknown: %s\r\n"
    url = lab.stack.settings.database.url
    assert url is not None
    real = urlsplit(url.get_secret_value())
    async with running_talkative(refused, refused, refused, greeting=b"-ERR no\r\n") as (port, _):
        databases = {
            "postgres": f"postgresql://reader:{canaries.plain('postgres')}@127.0.0.1:{real.port}/books",
            "mysql": f"mysql://reader:{canaries.plain('mysql')}@127.0.0.1:{port}/books",
            "broken": f"postgresql://reader:{canaries.plain('broken')}@127.0.0.1:{port}/books?option=x",
        }
        for name, place in databases.items():
            await canaries.keep(name, "connection", url=place)
            node = {"id": "read", "type": "database", "params": {"query": "SELECT 1"}, "credential": name}
            await lab.run(graph({**node, "timeout": "3s", "on_error": "continue"}))
        await canaries.keep("queue", "connection", url=f"redis://:{canaries.plain('queue')}@127.0.0.1:{port}/0")
        params = {"operation": "send", "queue_name": "orders", "message": {"n": 1}}
        node = {"id": "send", "type": "message_queue", "params": params, "credential": "queue"}
        await lab.run(graph({**node, "timeout": "3s", "on_error": "continue"}))


async def over_mail(lab: Lab, canaries: Canaries) -> list[bytes]:
    replies = (b"250-echo\r\n250 AUTH PLAIN LOGIN\r\n", *([b"535 refused: %s\r\n"] * 5))
    async with running_talkative(*replies, greeting=b"220 echo\r\n") as (port, heard):
        fields = {"host": "127.0.0.1", "port": port, "username": "robot", "security": "none"}
        await canaries.keep("post", "smtp", **fields, password=canaries.plain("post"))
        params = {"from_address": "a@shop.example", "to": ["b@shop.example"], "subject": "s", "body": "t"}
        await lab.run(
            graph({"id": "mail", "type": "email", "params": params, "credential": "post", "on_error": "continue"})
        )
    return heard


async def over_ai(lab: Lab, canaries: Canaries, echo: Echo) -> None:
    await canaries.keep("ai", "bearer", token=canaries.plain("ai"))
    models = AiModels(lab.stack.runtime.database)
    for path in ("deny", "json"):
        fields = ModelFields(
            name=path, provider="openai_compatible", model="m", base_url=echo.url(f"/{path}"), credential="ai"
        )
        await models.create(lab.tenant, fields)
        node = {"id": "ask", "type": "text_generation", "params": {"model": path, "prompt": "Hello"}}
        await lab.run(graph({**node, "on_error": "continue"}))
        await lab.run(graph({**node, "credential": "ai", "on_error": "continue"}))


async def over_scripts(lab: Lab) -> None:
    node = {"id": "script", "type": "script", "params": {"script_code": "print(input)\nstr(input)", "input": {"n": 1}}}
    await lab.run(graph({**node, "credential": "bearer", "on_error": "continue"}))


async def everything(lab: Lab, canaries: Canaries) -> AsyncIterator[None]:
    token = f"canary-token-{uuid4().hex}"
    async with (
        running_echo() as echo,
        running_token_server(prefix=token, client_secret=canaries.new("known")) as server,
    ):
        await over_http(lab, canaries, echo)
        await over_oauth2(lab, canaries, server)
        await over_webhooks(lab, canaries, echo)
        await over_connections(lab, canaries)
        heard = await over_mail(lab, canaries)
        await over_ai(lab, canaries, echo)
        await over_scripts(lab)
        yield
        known = Needles([canaries.secrets[name] for name in SENT]).found_in(echo.heard)
        assert known == {canaries.secrets[name] for name in SENT}, "what was never sent cannot leak"
        assert Needles([canaries.secrets["post"]]).found_in(b"".join(heard))
        assert any(shown.startswith(f"Bearer {token}-") for shown in server.shown)


async def test_no_secret_of_any_type_is_kept_anywhere(lab: Lab) -> None:
    canaries, marker = Canaries(lab), f"marker-{uuid4().hex}"
    settings = lab.stack.settings
    with listening() as logs:
        async for _ in everything(lab, canaries):
            pass
        async with running_echo() as echo:
            plain = [
                {"id": path, "type": "http", "params": {"url": echo.url(f"/{path}"), "headers": {"x-custom": marker}}}
                for path in ("json", "large")
            ]
            await lab.run(graph({**plain[0], "cache": {"ttl": "1h"}}, plain[1]))
        await lab.stack.runtime.recorder.flush()
        logging.getLogger("canary").info("%s", marker)
    places = await found(lab, settings, [*canaries.secrets.values(), marker], logs.getvalue().encode())
    assert {place for place, texts in places.items() if marker in texts} == set(places), (
        "the search finds what is there"
    )
    assert set(places) == {"logs", "postgresql", "redis", "objects", "temporal"}
    leaks = {
        place: sorted(name for name, secret in canaries.secrets.items() if secret in texts)
        for place, texts in places.items()
    }
    assert leaks == {place: [] for place in places}
