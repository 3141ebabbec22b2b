"""What every provider makes of answers, refusals and faults: the same of the same."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from engine.activities.clients.ai.calls import key_of, refusal
from engine.activities.clients.ai.registry import AiProviders
from engine.errors import NodeError
from engine.nodes.generation.port import Message, ModelConnection, Picture, Tool, ToolCall, Usage
from engine.nodes.outbound.addresses import HttpPolicy
from tests.ai_server import PNG, AiServer, dropped, garbled, refused, slow, text, tool_call, vector_of
from tests.engine.activities.clients.ai.asking import KEY, Model

pytestmark = pytest.mark.asyncio(loop_scope="module")
_WEATHER = Tool("weather", "the weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})


async def _failure(model: Model, **request: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await model.generate(**request)
    return caught.value


async def test_an_answer_has_text_tokens_and_who_gave_it(model: Model) -> None:
    model.server.script("model-x", [text("good day", input_tokens=11, output_tokens=5)])
    answer = await model.generate()
    thoughts = 2 if model.provider == "gemini" else 0
    assert (answer.text, answer.finish_reason) == ("good day", "stop")
    assert answer.usage == Usage(11, 5 + thoughts)
    assert (answer.model, answer.provider) == ("model-x", model.provider)
    assert model.server.count() == 1
    assert not model.server.last().streamed


async def test_a_streamed_answer_comes_in_pieces_and_whole(model: Model) -> None:
    model.server.script("model-x", [text("one two three four", pieces=4, input_tokens=9, output_tokens=4)])
    seen: list[str] = []
    answer = await model.generate(on_partial=seen.append)
    assert model.server.last().streamed
    assert len(seen) == 4
    assert "".join(seen) == answer.text == "one two three four"
    assert (answer.usage.input_tokens, answer.finish_reason) == (9, "stop")


async def test_an_answer_without_a_count_of_tokens_is_estimated(model: Model) -> None:
    model.server.script("model-x", [text("x" * 400, input_tokens=None), text("x" * 400, input_tokens=None)])
    whole = await model.generate()
    streamed = await model.generate(on_partial=lambda _: None)
    # 400 bytes of answer are 100 tokens; "hello" is 2 and the turns 4 each.
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 100
    assert whole.usage.input_tokens >= 10


async def test_a_cut_off_answer_says_so(model: Model) -> None:
    model.server.script("model-x", [text("and then", finish="length")])
    assert (await model.generate(max_tokens=2)).finish_reason == "length"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_call_has_a_name_arguments_and_an_id(model: Model, streamed: bool) -> None:
    model.server.script("model-x", [tool_call("weather", {"city": "Ulm"})])
    answer = await model.generate(tools=[_WEATHER], on_partial=(lambda _: None) if streamed else None)
    assert answer.finish_reason == "tool_calls"
    (call,) = answer.tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Ulm"})
    assert call.id


async def test_a_whole_conversation_reaches_the_model(model: Model) -> None:
    call = ToolCall("gemini-0", "weather", {"city": "Ulm"}, "dGhvdWdodA==")
    await model.generate(
        system="be brief",
        tools=[_WEATHER],
        messages=[
            Message("user", ("what is this?", Picture(PNG, "image/png"))),
            Message("assistant", ("a dot",)),
            Message("user", ("and the weather?",)),
            Message("assistant", (), [call]),
            Message("tool", ("rain",), tool_call_id="gemini-0", name="weather"),
        ],
    )
    sent = str(model.server.last().body)
    order = [
        sent.index(part)
        for part in ("what is this?", "iVBORw0KGgo", "a dot", "and the weather?", "'Ulm'", "rain")
        if part in sent
    ]
    assert order == sorted(order)
    assert all(part in sent for part in ("be brief", "iVBORw0KGgo", "Ulm", "rain", "the weather of a city"))


async def test_what_shapes_an_answer_reaches_the_model(model: Model) -> None:
    await model.generate(max_tokens=77, temperature=0.25, top_p=0.75, seed=4711, stop=["END"])
    sent = str(model.server.last().body)
    assert all(value in sent for value in ("77", "0.25", "0.75", "4711", "END"))


async def test_what_is_left_out_is_not_sent(model: Model) -> None:
    await model.generate()
    sent = str(model.server.last().body)
    assert not any(word in sent for word in ("None", "emperature", "max_", "maxOutput", "num_predict", "tools"))


async def test_a_schema_is_sent_natively(model: Model) -> None:
    model.server.script("model-x", [text('{"n": 1}')])
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = await model.generate(schema=schema)
    body = model.server.last().body
    found = {
        "openai": lambda: body["response_format"]["json_schema"]["schema"],
        "openai_compatible": lambda: body["response_format"]["json_schema"]["schema"],
        "gemini": lambda: body["generationConfig"]["responseJsonSchema"],
        "ollama": lambda: body["format"],
    }[model.provider]()
    assert found == schema
    assert answer.text == '{"n": 1}'


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "INVALID_CONFIG", False),
        (401, "ACCESS_DENIED", False),
        (403, "ACCESS_DENIED", False),
        (404, "INVALID_CONFIG", False),
        (408, "EXTERNAL_ERROR", True),
        (422, "INVALID_CONFIG", False),
        (429, "RATE_LIMITED", True),
        (500, "EXTERNAL_ERROR", True),
        (503, "EXTERNAL_ERROR", True),
        (529, "EXTERNAL_ERROR", True),
    ],
)
async def test_a_refusal_becomes_a_typed_error_after_one_call(
    model: Model, status: int, code: str, retryable: bool
) -> None:
    model.server.script("model-x", [refused(status, "it is so")])
    error = await _failure(model)
    assert (error.code, error.retryable) == (code, retryable)
    assert error.details["status"] == status
    assert "it is so" in error.message
    assert model.server.count() == 1


async def test_a_refused_stream_becomes_the_same_error(model: Model) -> None:
    model.server.script("model-x", [refused(503, "busy")])
    error = await _failure(model, on_partial=lambda _: None)
    assert (error.code, error.retryable, model.server.count()) == ("EXTERNAL_ERROR", True, 1)


async def test_retry_after_in_seconds_is_the_next_delay(model: Model) -> None:
    model.server.script("model-x", [refused(429, retry_after="17")])
    assert (await _failure(model)).retry_after_s == 17.0


async def test_retry_after_as_a_date_is_the_next_delay(model: Model) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=90)
    model.server.script("model-x", [refused(503, retry_after=format_datetime(moment, usegmt=True))])
    wait_s = (await _failure(model)).retry_after_s
    assert wait_s is not None
    assert 85 <= wait_s <= 90


async def test_a_slow_answer_is_a_timeout(model: Model) -> None:
    model.server.script("model-x", [slow(30)])
    began = time.monotonic()
    error = await _failure(model, timeout_s=0.3)
    assert (error.code, error.retryable) == ("TIMEOUT", True)
    assert time.monotonic() - began < 15  # the answer would have come after 30 s


async def test_a_dropped_connection_is_worth_another_attempt(model: Model) -> None:
    model.server.script("model-x", [dropped(), dropped()])
    whole = await _failure(model)
    streamed = await _failure(model, on_partial=lambda _: None)
    assert [whole.code, streamed.code] == ["EXTERNAL_ERROR"] * 2
    assert whole.retryable
    assert streamed.retryable
    assert model.server.count() == 2


async def test_a_body_that_is_no_json_is_worth_another_attempt(model: Model) -> None:
    model.server.script("model-x", [garbled(), garbled(b"data: {nonsense\n\n"), garbled(b"")])
    errors = [await _failure(model), await _failure(model, on_partial=lambda _: None), await _failure(model)]
    assert [(error.code, error.retryable) for error in errors] == [("EXTERNAL_ERROR", True)] * 3


async def test_json_of_another_shape_is_worth_another_attempt(model: Model) -> None:
    for body in (b"[]", b"{}", b'"text"', b'{"choices": [{}], "message": 7, "candidates": [{"content": 3}]}'):
        model.server.script("model-x", [garbled(body)])
        error = await _failure(model)
        assert (error.code, error.retryable) == ("EXTERNAL_ERROR", True), body


async def test_a_server_that_is_away_is_worth_another_attempt(model: Model) -> None:
    with pytest.raises(NodeError) as caught:
        await model.generate(model.connection(base_url="http://127.0.0.1:9"))
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)


async def test_the_key_reaches_the_provider_and_no_error(model: Model) -> None:
    model.server.script("model-x", [refused(401, f"Incorrect API key provided: {KEY}")])
    error = await _failure(model)
    assert KEY in str(model.server.last().headers)
    told = f"{error} {error.message} {error.details} {error.__cause__} {error.__context__}"
    assert KEY not in error.message
    assert KEY not in str(error.details)
    assert "[redacted]" in error.message
    assert error.__cause__ is None
    assert "canary" not in told.replace(str(error.__context__), "")


async def test_a_credential_bound_to_other_hosts_is_not_sent(model: Model) -> None:
    bound = {"type": "bearer", "token": KEY, "allowed_hosts": ["api.example"]}
    with pytest.raises(NodeError, match="bound to other hosts"):
        await model.generate(model.connection(credential=bound))
    assert model.server.count() == 0


async def test_an_internal_address_needs_the_operators_word(model: Model) -> None:
    guarded = AiProviders(HttpPolicy())
    asked = Model(model.provider, model.server, guarded)
    with pytest.raises(NodeError) as caught:
        await asked.generate()
    assert (caught.value.code, model.server.count()) == ("BLOCKED_ADDRESS", 0)
    assert (await asked.generate(asked.connection(trusted=True))).text == "ok"
    await guarded.aclose()


async def test_a_redirect_is_not_followed(model: Model, server: AiServer) -> None:
    server.script("model-x", [refused(307, headers={"location": "http://169.254.169.254/"})])
    error = await _failure(model)
    assert (error.code, error.retryable, server.count()) == ("EXTERNAL_ERROR", False, 1)


async def test_the_rows_options_are_added_to_the_request(model: Model) -> None:
    await model.generate(model.connection(options={"service_tier": "flex"}))
    assert model.server.last().body["service_tier"] == "flex"


async def test_embeddings_come_in_batches_and_in_order(model: Model) -> None:
    texts = [f"text {number}" for number in range(250)]
    found = await model.embed(texts, dimensions=4)
    assert list(found.vectors) == [vector_of(text, 4) for text in texts]
    assert model.server.count() == (1 if model.provider == "openai" else 3)
    assert found.usage.input_tokens >= 250


async def test_no_texts_make_no_call(model: Model) -> None:
    assert list((await model.embed([])).vectors) == []
    assert model.server.count() == 0


async def test_a_cancelled_call_ends_at_once(model: Model) -> None:
    model.server.script("model-x", [slow(30)])
    task = asyncio.create_task(model.generate())
    await asyncio.wait_for(model.server.arrived(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_account_without_money_is_not_asked_again() -> None:
    connection = ModelConnection(provider="openai", model="m")
    error = refusal(connection, 429, "pay", headers={"retry-after": "5"}, provider_code="insufficient_quota")
    assert (error.code, error.retryable, error.retry_after_s) == ("RATE_LIMITED", False, None)


async def test_milliseconds_to_wait_are_rounded_up() -> None:
    connection = ModelConnection(provider="openai", model="m")
    assert refusal(connection, 429, "wait", headers={"retry-after-ms": "1200"}).retry_after_s == 2.0


async def test_only_keys_and_tokens_sign_a_call() -> None:
    api_key = ModelConnection(provider="p", model="m", credential={"type": "api_key", "value": "k"})
    assert key_of(api_key) == "k"
    for credential in ({"type": "basic", "password": "secret-word"}, {"type": "bearer", "token": "a\nb-secret"}):
        with pytest.raises(NodeError) as caught:
            key_of(ModelConnection(provider="p", model="m", credential=credential))
        assert caught.value.code == "INVALID_CONFIG"
        assert "secret" not in caught.value.message
