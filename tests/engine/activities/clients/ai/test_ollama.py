from __future__ import annotations

import pytest

from engine.activities.clients.ai.registry import AiProviders
from engine.errors import NodeError
from engine.nodes.generation.port import Message, Picture, Tool
from tests.ai_server import PNG, AiServer, Answer, garbled, refused, tool_call
from tests.engine.activities.clients.ai.asking import KEY, Model

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def ollama(server: AiServer, providers: AiProviders) -> Model:
    return Model("ollama", server, providers)


async def test_no_key_is_needed_and_one_is_sent(ollama: Model) -> None:
    await ollama.generate(ollama.connection(credential=None))
    await ollama.generate()
    assert "authorization" not in ollama.server.calls[0].headers
    assert ollama.server.calls[1].headers["authorization"] == f"Bearer {KEY}"


async def test_pictures_stand_beside_the_text(ollama: Model) -> None:
    await ollama.generate(messages=[Message("user", ("what is this?", Picture(PNG, "image/png")))])
    (message,) = ollama.server.last().body["messages"]
    assert message["content"] == "what is this?"
    assert message["images"][0].startswith("iVBORw0KGgo")


async def test_options_of_the_row_join_those_of_the_request(ollama: Model) -> None:
    row = ollama.connection(options={"keep_alive": "5m", "options": {"num_ctx": 8192}})
    await ollama.generate(row, temperature=0.5)
    body = ollama.server.last().body
    assert (body["keep_alive"], body["options"]) == ("5m", {"num_ctx": 8192, "temperature": 0.5})


async def test_an_error_in_the_middle_of_a_stream_is_worth_another_attempt(ollama: Model) -> None:
    ollama.server.script("model-x", [Answer(refusal="the model crashed")])
    with pytest.raises(NodeError, match="the model crashed") as caught:
        await ollama.generate(on_partial=lambda _: None)
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)


async def test_a_stream_without_its_last_line_is_worth_another_attempt(ollama: Model) -> None:
    ollama.server.script("model-x", [garbled(b'{"message": {"content": "half"}, "done": false}\n')])
    with pytest.raises(NodeError, match="before the answer did") as caught:
        await ollama.generate(on_partial=lambda _: None)
    assert caught.value.retryable


async def test_a_model_that_is_not_there_is_named_by_the_servers_own_words(ollama: Model) -> None:
    ollama.server.script("model-x", [refused(404, 'model "model-x" not found, try pulling it first')])
    with pytest.raises(NodeError, match="try pulling it first") as caught:
        await ollama.generate()
    assert caught.value.code == "INVALID_CONFIG"


async def test_calls_get_ids_that_tell_them_apart(ollama: Model) -> None:
    calls = ({"name": "a", "arguments": {}}, {"name": "a", "arguments": {"n": 2}})
    ollama.server.script("model-x", [Answer(text="", tool_calls=calls), tool_call("a", {})])
    answer = await ollama.generate(tools=[Tool("a")])
    assert len({call.id for call in answer.tool_calls}) == 2


async def test_tools_that_must_not_be_called_are_not_shown(ollama: Model) -> None:
    await ollama.generate(tools=[Tool("a")], tool_choice="none")
    assert "tools" not in ollama.server.last().body


async def test_there_are_no_pictures_to_be_had(ollama: Model) -> None:
    with pytest.raises(NodeError, match="makes no pictures") as caught:
        await ollama.images()
    assert (caught.value.code, ollama.server.count()) == ("INVALID_CONFIG", 0)
