from __future__ import annotations

import asyncio

import pytest

from engine.activities.clients.ai.gemini import aspect_ratio
from engine.activities.clients.ai.gemini_messages import reduced_schema
from engine.activities.clients.ai.registry import AiProviders
from engine.errors import NodeError
from engine.nodes.generation.port import Message, Picture, Tool, Usage
from engine.nodes.outbound.addresses import HttpPolicy
from tests.ai_server import PNG, AiServer, Answer, refused, slow, text, tool_call
from tests.engine.activities.clients.ai.asking import KEY, Model

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gemini(server: AiServer, providers: AiProviders) -> Model:
    return Model("gemini", server, providers)


async def test_each_call_carries_its_own_key(gemini: Model) -> None:
    other = gemini.connection(credential={"type": "api_key", "value": "other-key"})
    await asyncio.gather(gemini.generate(), gemini.generate(other), gemini.generate(), gemini.generate(other))
    keys = sorted(call.headers["x-goog-api-key"] for call in gemini.server.calls)
    assert keys == ["other-key", "other-key", KEY, KEY]


async def test_the_workers_environment_says_nothing(gemini: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GOOGLE_API_KEY": "canary",
        "GEMINI_API_KEY": "canary",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_CLOUD_PROJECT": "canary",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    opened = AiProviders(HttpPolicy(allowed_hosts=["127.0.0.0/8"]))
    asked = Model("gemini", gemini.server, opened)
    await asked.generate()
    await opened.aclose()
    assert gemini.server.last().headers["x-goog-api-key"] == KEY
    assert "'canary'" not in str(gemini.server.last())


async def test_a_refused_key_is_a_matter_of_access_though_it_comes_as_400(gemini: Model) -> None:
    gemini.server.script("model-x", [refused(400, "API key not valid", code="API_KEY_INVALID")])
    with pytest.raises(NodeError) as caught:
        await gemini.generate()
    assert (caught.value.code, caught.value.retryable) == ("ACCESS_DENIED", False)


async def test_the_wait_that_the_body_names_is_the_next_delay(gemini: Model) -> None:
    gemini.server.script("model-x", [refused(429, "slow down", retry_info="12.5s")])
    with pytest.raises(NodeError) as caught:
        await gemini.generate()
    assert (caught.value.code, caught.value.retry_after_s) == ("RATE_LIMITED", 12.5)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("answer", [text("no", finish="content_filter"), Answer(refusal="blocked")])
async def test_an_answer_that_is_withheld_is_an_error(gemini: Model, answer: Answer, streamed: bool) -> None:
    gemini.server.script("model-x", [answer])
    with pytest.raises(NodeError) as caught:
        await gemini.generate(on_partial=(lambda _: None) if streamed else None)
    assert (caught.value.code, caught.value.retryable) == ("CONTENT_FILTERED", False)


async def test_thoughts_are_paid_for_as_output_and_are_no_text(gemini: Model) -> None:
    body = (
        b'{"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "yes"}]}, '
        b'"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1, '
        b'"thoughtsTokenCount": 30}}'
    )
    gemini.server.script("model-x", [Answer(raw=body)])
    answer = await gemini.generate()
    assert (answer.text, answer.usage) == ("yes", Usage(4, 31))


async def test_a_calls_signature_goes_back_with_it(gemini: Model) -> None:
    gemini.server.script("model-x", [tool_call("weather", {"city": "Ulm"})])
    answer = await gemini.generate(tools=[Tool("weather")])
    (call,) = answer.tool_calls
    assert call.signature is not None
    turns = [Message("assistant", (), [call]), Message("tool", ("rain",), tool_call_id=call.id)]
    await gemini.generate(messages=[Message("user", ("?",)), *turns], tools=[Tool("weather")])
    _, model_turn, tool_turn = gemini.server.last().body["contents"]
    assert model_turn["role"] == "model"
    assert model_turn["parts"][0]["thoughtSignature"] == call.signature
    assert tool_turn["parts"][0]["functionResponse"] == {"name": "weather", "response": {"result": "rain"}}


async def test_with_tools_the_schema_is_told_in_words(gemini: Model) -> None:
    await gemini.generate(schema={"type": "object"}, tools=[Tool("weather")], tool_choice="required")
    body = gemini.server.last().body
    assert "responseJsonSchema" not in body["generationConfig"]
    assert "JSON Schema" in body["systemInstruction"]["parts"][0]["text"]
    assert body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"


async def test_a_schema_loses_what_the_api_does_not_know() -> None:
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "a+"}, "b": {"const": 1}},
        "patternProperties": {"x": {}},
        "anyOf": [{"required": ["b"], "not": {}}],
    }
    assert reduced_schema(schema) == {
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "b": {"enum": [1]}},
        "anyOf": [{"required": ["b"]}],
    }


async def test_gemini_models_make_a_picture_a_call(gemini: Model) -> None:
    made = await gemini.images(count=2, size="1024x768", quality="2K")
    config = gemini.server.last().body["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "4:3", "imageSize": "2K"}
    assert list(made.pictures) == [Picture(PNG, "image/png")] * 2
    assert made.usage == Usage(14, 10)  # twice 7, and twice 3 with 2 of thought
    assert gemini.server.count() == 2


async def test_a_picture_that_fails_leaves_no_other_call_behind(gemini: Model) -> None:
    gemini.server.script("model-x", [slow(30), slow(30), refused(429)])
    before = asyncio.all_tasks()
    with pytest.raises(NodeError) as caught:
        await asyncio.wait_for(gemini.images(count=3), 30)
    assert caught.value.code == "RATE_LIMITED"
    left = [task for task in asyncio.all_tasks() - before if "_picture" in repr(task.get_coro())]
    await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 20)
    assert all(task.cancelled() for task in left)


async def test_pictures_that_are_withheld_are_an_error(gemini: Model) -> None:
    gemini.server.script("model-x", [Answer(refusal="unsafe")])
    with pytest.raises(NodeError) as caught:
        await gemini.images()
    assert caught.value.code == "CONTENT_FILTERED"


async def test_sizes_become_ratios() -> None:
    assert [aspect_ratio(size) for size in ("1024x1024", "1536x1024", "16:9", "0x1", None)] == [
        "1:1",
        "3:2",
        "16:9",
        "0x1",
        None,
    ]
