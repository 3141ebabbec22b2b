from __future__ import annotations

import pytest

from engine.activities.clients.ai.chat_protocol import is_strict
from engine.activities.clients.ai.registry import AiProviders
from engine.errors import NodeError
from engine.nodes.generation.port import Picture, Tool, Usage
from tests.ai_server import PNG, AiServer, Answer, refused, text, tool_call
from tests.engine.activities.clients.ai.asking import KEY, Model

pytestmark = pytest.mark.asyncio(loop_scope="module")
_CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture
def openai(server: AiServer, providers: AiProviders) -> Model:
    return Model("openai", server, providers)


async def test_the_key_is_a_bearer_token_and_the_call_is_named(openai: Model) -> None:
    await openai.generate(idempotency_key="run:node:1:0")
    headers = openai.server.last().headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["idempotency-key"] == "run:node:1:0"
    assert headers["user-agent"] == "structforge"


async def test_nothing_of_the_workers_environment_is_sent(openai: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_ORG_ID": "org-canary",
        "OPENAI_PROJECT_ID": "proj-canary",
        "OPENAI_ADMIN_KEY": "admin-canary",
        "OPENAI_CUSTOM_HEADERS": "x-canary: 1\nauthorization: Bearer canary",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    await openai.generate()
    assert KEY in openai.server.last().headers["authorization"]
    assert "canary" not in str(openai.server.last().headers).replace(KEY, "")


async def test_a_model_of_openai_needs_a_key(openai: Model) -> None:
    with pytest.raises(NodeError, match="needs a credential") as caught:
        await openai.generate(openai.connection(credential=None))
    assert (caught.value.code, openai.server.count()) == ("ACCESS_DENIED", 0)


async def test_another_server_needs_a_base_url_and_no_key(server: AiServer, providers: AiProviders) -> None:
    model = Model("openai_compatible", server, providers)
    assert (await model.generate(model.connection(credential=None))).text == "ok"
    with pytest.raises(NodeError, match="needs a base_url"):
        await model.generate(model.connection(base_url=None))


async def test_other_servers_get_the_older_name_of_the_limit(server: AiServer, providers: AiProviders) -> None:
    await Model("openai", server, providers).generate(max_tokens=5)
    await Model("openai_compatible", server, providers).generate(max_tokens=5)
    assert server.calls[0].body["max_completion_tokens"] == server.calls[1].body["max_tokens"] == 5


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("answer", [text("no", finish="content_filter"), Answer(text="", refusal="I cannot")])
async def test_an_answer_that_is_withheld_is_an_error(openai: Model, answer: Answer, streamed: bool) -> None:
    openai.server.script("model-x", [answer])
    with pytest.raises(NodeError) as caught:
        await openai.generate(on_partial=(lambda _: None) if streamed else None)
    assert (caught.value.code, caught.value.retryable) == ("CONTENT_FILTERED", False)


async def test_a_prompt_that_is_filtered_is_an_error_of_its_own(openai: Model) -> None:
    openai.server.script("model-x", [refused(400, "not that", code="content_filter")])
    with pytest.raises(NodeError) as caught:
        await openai.generate()
    assert (caught.value.code, caught.value.details["provider_code"]) == ("CONTENT_FILTERED", "content_filter")


@pytest.mark.parametrize(
    ("kind", "code"), [("rate_limit_exceeded", "RATE_LIMITED"), ("server_error", "EXTERNAL_ERROR")]
)
async def test_an_error_in_the_middle_of_a_stream_is_typed(openai: Model, kind: str, code: str) -> None:
    line = b'data: {"error": {"message": "stop here", "type": "' + kind.encode() + b'", "code": null}}\n\n'
    openai.server.script("model-x", [Answer(raw=line)])
    with pytest.raises(NodeError, match="stop here") as caught:
        await openai.generate(on_partial=lambda _: None)
    assert (caught.value.code, caught.value.retryable) == (code, True)


async def test_a_stream_that_ends_too_early_is_worth_another_attempt(openai: Model) -> None:
    line = b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
    openai.server.script("model-x", [Answer(raw=line)])
    with pytest.raises(NodeError, match="before the answer did") as caught:
        await openai.generate(on_partial=lambda _: None)
    assert caught.value.retryable


async def test_arguments_that_are_no_json_stay_text(openai: Model) -> None:
    openai.server.script("model-x", [tool_call("weather", "{city:")])
    (call,) = (await openai.generate(tools=[Tool("weather")])).tool_calls
    assert call.arguments == "{city:"


async def test_several_calls_are_told_apart_in_a_stream(openai: Model) -> None:
    calls = ({"name": "a", "arguments": {"n": 1}}, {"name": "b", "arguments": {"n": 2}})
    openai.server.script("model-x", [Answer(text="", tool_calls=calls)])
    answer = await openai.generate(tools=[Tool("a"), Tool("b")], on_partial=lambda _: None)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("a", {"n": 1}), ("b", {"n": 2})]


async def test_a_closed_schema_is_strict(openai: Model) -> None:
    await openai.generate(schema=_CLOSED)
    await openai.generate(schema={"type": "object"})
    assert [call.body["response_format"]["json_schema"]["strict"] for call in openai.server.calls] == [True, False]


async def test_a_schema_that_is_no_object_is_told_in_words(openai: Model) -> None:
    await openai.generate(schema={"type": "array", "items": {"type": "integer"}}, system="be brief")
    body = openai.server.last().body
    assert "response_format" not in body
    assert body["messages"][0]["role"] == "system"
    assert all(word in body["messages"][0]["content"] for word in ("be brief", "JSON Schema", '"type":"array"'))


async def test_strictness_is_found_at_any_depth() -> None:
    assert is_strict(_CLOSED)
    assert is_strict({**_CLOSED, "properties": {"n": _CLOSED}})
    assert not is_strict({**_CLOSED, "properties": {"n": {"type": "object", "properties": {}}}})
    assert not is_strict({**_CLOSED, "required": []})
    assert not is_strict({**_CLOSED, "properties": {"n": {"allOf": [{}]}}})


async def test_pictures_come_as_bytes_with_their_usage(openai: Model) -> None:
    made = await openai.images(size="1024x1024", quality="high", count=2)
    body = openai.server.last().body
    assert (body["size"], body["quality"], body["n"]) == ("1024x1024", "high", 2)
    assert "response_format" not in body
    assert list(made.pictures) == [Picture(PNG, "image/png")] * 2
    assert made.usage == Usage(7, 3)


async def test_older_models_are_asked_for_bytes(server: AiServer, providers: AiProviders) -> None:
    await Model("openai", server, providers, "dall-e-3").images()
    await Model("openai_compatible", server, providers).images()
    assert [call.body["response_format"] for call in server.calls] == ["b64_json", "b64_json"]


async def test_a_picture_behind_an_address_is_fetched(openai: Model) -> None:
    openai.server.script("model-x", [text(f"{openai.server.url}/openai/picture.png")])
    assert list((await openai.images()).pictures) == [Picture(PNG, "image/png")]


@pytest.mark.parametrize("picture", [b"no picture", b""])
async def test_a_picture_that_is_none_is_worth_another_attempt(openai: Model, picture: bytes) -> None:
    openai.server.script("model-x", [Answer(pictures=(picture,) if picture else ())])
    with pytest.raises(NodeError) as caught:
        await openai.images()
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)


async def test_the_wrong_number_of_vectors_is_worth_another_attempt(openai: Model) -> None:
    body = b'{"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}'
    openai.server.script("model-x", [Answer(raw=body)])
    with pytest.raises(NodeError, match="1 embeddings for 2 texts") as caught:
        await openai.embed(["a", "b"])
    assert caught.value.retryable
