"""Answers of AI models through Temporal: what is invalid goes no further, and large ones are carried by reference."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from models.repositories.ai_models import AiModels, ModelFields
from tests.ai_server import AiServer, pictures, running_ai_server, text, tool_call
from tests.engine.workflows.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="session")
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
_LARGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400


@pytest_asyncio.fixture(loop_scope="session")
async def ai_server() -> AsyncIterator[AiServer]:
    async with running_ai_server() as running:
        yield running


async def _start(lab: Lab, server: AiServer, provider: str, nodes: list[dict[str, Any]]) -> Any:
    url = server.ollama_url if provider == "ollama" else server.openai_url
    fields = ModelFields(name="writer", provider=provider, model="writer", base_url=url)
    await AiModels(lab.stack.runtime.database).create(lab.tenant, fields)
    edges = [{"source": a["id"], "target": b["id"]} for a, b in pairwise(nodes)]
    return await (await lab.start({"nodes": nodes, "edges": edges})).end()


def _asking(**params: Any) -> dict[str, Any]:
    given = {"model": "writer", "prompt": "how many?", "response_schema": _SCHEMA, **params}
    return {"id": "ask", "type": "text_generation", "params": given}


@pytest.mark.parametrize("provider", ["openai_compatible", "ollama"])
async def test_bad_json_twice_makes_three_calls_and_the_next_node_sees_good_data_alone(
    lab: Lab, ai_server: AiServer, provider: str
) -> None:
    ai_server.script("writer", [text('{"n": '), text('{"n": "bad-canary"}'), text('{"n": 7}')])
    after = lab.call("after", query="?n={{ nodes.ask.output.data.n }}")
    ended = await _start(lab, ai_server, provider, [_asking(), after])
    assert ended.status == "success"
    assert ai_server.count() == 3
    assert lab.calls("after") == 1
    assert (await ended.output_of("ask"))["data"] == {"n": 7}
    assert "bad-canary" not in str(await ended.output_of("after"))
    assert ended.nodes["ask"].attempts == 1


async def test_an_answer_that_stays_bad_fails_the_node_and_nothing_behind_it_runs(
    lab: Lab, ai_server: AiServer
) -> None:
    ai_server.otherwise = text("never json")
    node = {**_asking(), "retry": {"strategy": "fixed", "interval": "10ms", "max_attempts": 2}}
    ended = await _start(lab, ai_server, "openai_compatible", [node, lab.call("after")])
    assert ended.status == "failed"
    assert ended.nodes["ask"].error["code"] == "INVALID_ANSWER"
    assert ai_server.count() == 6  # two attempts of three calls
    assert lab.calls("after") == 0


async def test_a_large_picture_goes_by_reference_and_comes_back_whole(lab: Lab, ai_server: AiServer) -> None:
    ai_server.script("writer", [pictures(_LARGE), text("a dot")])
    draw = {"id": "draw", "type": "image_generation", "params": {"model": "writer", "prompt": "a dot"}}
    parts = [{"type": "image", "image": "{{ nodes.draw.output.images[0] }}"}]
    look = {
        "id": "look",
        "type": "chat",
        "params": {"model": "writer", "messages": [{"role": "user", "content": parts}]},
    }
    ended = await _start(lab, ai_server, "openai_compatible", [draw, look])
    assert ended.status == "success"
    assert (await ended.output_of("look"))["text"] == "a dot"
    sent = ai_server.last().body["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(sent.partition(",")[2]) == _LARGE
    assert ended.history_bytes < 100_000, "the picture is not in the history"


async def test_a_conversation_goes_on_over_a_tool_call(lab: Lab, ai_server: AiServer) -> None:
    ai_server.script("writer", [tool_call("find_order", {"number": 12}), text("It was sent.")])
    tool = {
        "name": "find_order",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    }
    question = {"role": "user", "content": "Where is order 12?"}
    ask = {"id": "ask", "type": "chat", "params": {"model": "writer", "messages": [question], "tools": [tool]}}
    turns = [
        question,
        "{{ nodes.ask.output.message }}",
        {
            "role": "tool",
            "tool_call_id": "{{ nodes.ask.output.message.tool_calls[0].id }}",
            "content": {"order": "{{ nodes.ask.output.message.tool_calls[0].arguments.number }}", "state": "sent"},
        },
    ]
    tell = {"id": "tell", "type": "chat", "params": {"model": "writer", "messages": turns, "tools": [tool]}}
    ended = await _start(lab, ai_server, "ollama", [ask, tell])
    assert ended.status == "success"
    assert (await ended.output_of("tell"))["text"] == "It was sent."
    assert ai_server.last().body["messages"][-1] == {
        "role": "tool",
        "content": '{"order":12,"state":"sent"}',
        "tool_name": "find_order",
    }
