"""A credential signs the request of the node that names it, and stands nowhere else."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.workflows.lab import Lab, graph

pytestmark = pytest.mark.asyncio(loop_scope="session")
CANARY = "canary-2f6c90d1"


async def echo_authorization(seen: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    seen += [line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("authorization:")]
    writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
    await writer.drain()
    writer.close()


async def test_credential_is_sent_and_leaves_no_trace(lab: Lab) -> None:
    path = lab.stack.settings.credentials_file
    path.write_text(f"shop: {{type: bearer, token: {CANARY}, allowed_hosts: [127.0.0.1]}}\n")
    path.chmod(0o600)
    seen: list[str] = []
    server = await asyncio.start_server(lambda r, w: echo_authorization(seen, r, w), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    node = {"id": "fetch", "type": "http", "params": {"url": url}, "credential": "shop", "on_error": "continue"}
    try:
        ended = await lab.run(graph(node))
    finally:
        server.close()
        path.unlink()
    assert seen == [f"Bearer {CANARY}"]
    assert ended.states() == {"fetch": "failed"}
    assert CANARY not in ended.history.to_json()
    assert CANARY not in repr(ended.row)
    assert CANARY not in repr(ended.all)


async def test_missing_credential_is_denied_before_anything_is_sent(lab: Lab) -> None:
    node = lab.call("fetch")
    ended = await lab.run(graph({**node, "credential": "nobody"}))
    assert ended.error is not None
    assert ended.error["code"] == "ACCESS_DENIED"
    assert lab.calls("fetch") == 0
