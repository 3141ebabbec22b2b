from __future__ import annotations

import time
from typing import Any

import pytest

from engine.errors import NodeError
from tests.ai_server import refused, slow, text
from tests.engine.nodes.ai.direct import DirectModels
from tests.engine.nodes.running import codes, node_type, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
    "additionalProperties": False,
}


def _params(**more: Any) -> dict[str, Any]:
    return {"model": "writer", "prompt": "how many?", **more}


async def _failure(models: DirectModels, params: dict[str, Any], **context: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await run("text_generation", params, models=models, **context)
    return caught.value


async def test_text_comes_with_its_usage_and_who_wrote_it(models: DirectModels) -> None:
    models.server.script("writer", [text("seven", input_tokens=20, output_tokens=2)])
    result = await run("text_generation", _params(system_prompt="be brief"), models=models)
    assert result.output == {
        "text": "seven",
        "finish_reason": "stop",
        "usage": {"input_tokens": 20, "output_tokens": 2, "cost": None},
        "model": "writer",
        "provider": "openai",
    }
    roles = [message["role"] for message in models.server.last().body["messages"]]
    assert roles == ["system", "user"]


async def test_data_satisfies_the_schema(models: DirectModels) -> None:
    models.server.script("writer", [text('{"n": 7}')])
    result = await run("text_generation", _params(response_schema=SCHEMA), models=models)
    assert result.output["data"] == {"n": 7}
    assert "text" not in result.output


async def test_data_in_a_code_fence_is_data(models: DirectModels) -> None:
    models.server.script("writer", [text('```json\n{"n": 7}\n```')])
    result = await run("text_generation", _params(response_schema=SCHEMA), models=models)
    assert (result.output["data"], models.server.count()) == ({"n": 7}, 1)


async def test_bad_json_twice_makes_exactly_three_calls_and_good_data(models: DirectModels) -> None:
    answers = [text('{"n": '), text("I think it is 7."), text('{"n": 7}')]
    models.server.script("writer", answers)
    result = await run("text_generation", _params(response_schema=SCHEMA), models=models)
    assert result.output["data"] == {"n": 7}
    assert models.server.count("writer") == 3
    # Three calls of 7 tokens read and 3 written.
    assert result.output["usage"] == {"input_tokens": 21, "output_tokens": 9, "cost": None}
    assert [call.ask for call in models.calls] == [0, 1, 2]


async def test_a_re_ask_shows_the_model_its_answer_and_the_fault(models: DirectModels) -> None:
    models.server.script("writer", [text('{"n": "many"}'), text('{"n": 7}')])
    await run("text_generation", _params(response_schema=SCHEMA), models=models)
    first, answer, correction = models.server.last().body["messages"]
    assert (first["role"], answer["role"], correction["role"]) == ("user", "assistant", "user")
    assert answer["content"] == '{"n": "many"}'
    assert "answer.n: 'many' is not of type 'integer'" in correction["content"]


async def test_an_answer_that_stays_invalid_fails_and_may_be_tried_again(models: DirectModels) -> None:
    models.server.script("writer", [text("no")] * 9)
    error = await _failure(models, _params(response_schema=SCHEMA))
    assert (error.code, error.retryable) == ("INVALID_ANSWER", True)
    assert error.details["calls"] == models.server.count() == 3
    assert error.details["usage"]["input_tokens"] == 21


@pytest.mark.parametrize(("reasks", "calls"), [(0, 1), (5, 6)])
async def test_the_number_of_re_asks_is_the_parameters(models: DirectModels, reasks: int, calls: int) -> None:
    models.server.script("writer", [text("no")] * 9)
    await _failure(models, _params(response_schema=SCHEMA, max_reasks=reasks))
    assert models.server.count() == calls


async def test_data_that_is_cut_off_is_not_asked_for_again(models: DirectModels) -> None:
    models.server.script("writer", [text('{"n": ', finish="length")])
    error = await _failure(models, _params(response_schema=SCHEMA, max_tokens=5))
    assert (error.code, error.retryable, models.server.count()) == ("INVALID_ANSWER", False, 1)
    assert "max_tokens (5)" in error.message


async def test_text_that_is_cut_off_says_so(models: DirectModels) -> None:
    models.server.script("writer", [text("and then", finish="length")])
    result = await run("text_generation", _params(), models=models)
    assert (result.output["text"], result.output["finish_reason"]) == ("and then", "length")


async def test_json_nested_too_deep_is_an_invalid_answer(models: DirectModels) -> None:
    models.server.script("writer", [text("[" * 500 + "]" * 500), text("[]")])
    result = await run("text_generation", _params(response_schema={"type": "array"}), models=models)
    assert (result.output["data"], models.server.count()) == ([], 2)


async def test_a_refusal_of_the_provider_is_not_asked_again_here(models: DirectModels) -> None:
    models.server.script("writer", [refused(429, retry_after="3")])
    error = await _failure(models, _params(response_schema=SCHEMA))
    assert (error.code, error.retry_after_s, models.server.count()) == ("RATE_LIMITED", 3.0, 1)


async def test_the_attempt_ends_a_little_before_its_timeout(models: DirectModels) -> None:
    models.server.script("writer", [text("no"), slow(30)])
    began = time.monotonic()
    error = await _failure(models, _params(response_schema=SCHEMA), deadline_s=0.6)
    assert (error.code, error.retryable) == ("TIMEOUT", True)
    assert time.monotonic() - began < 15  # the answer would have come after 30 s


async def test_the_nodes_own_credential_signs_the_call(models: DirectModels) -> None:
    await run("text_generation", _params(), models=models, credential={"type": "bearer", "token": "own-key"})
    await run("text_generation", _params(), models=models)
    keys = [call.headers["authorization"] for call in models.server.calls]
    assert keys == ["Bearer own-key", "Bearer key-of-the-row"]


async def test_every_call_says_who_makes_it(models: DirectModels) -> None:
    models.server.script("writer", [text("no"), text('{"n": 1}')])
    await run(
        "text_generation",
        _params(response_schema=SCHEMA, on_budget="fallback"),
        models=models,
        tenant="acme",
        execution_id="e",
        workflow_id="w",
        node_path="outer.count",
        iteration=(2,),
        generation=1,
        attempt=3,
        idempotency_key="key",
    )
    call = models.calls[1]
    assert (call.tenant, call.execution_id, call.workflow_id, call.node_path) == ("acme", "e", "w", "outer.count")
    assert (call.iteration, call.generation, call.attempt, call.ask) == ((2,), 1, 3, 1)
    assert call.on_budget == "fallback"
    names = [received.headers["idempotency-key"] for received in models.server.calls]
    assert names == ["key:3:0", "key:3:1"]


async def test_text_is_streamed_to_whoever_watches(models: DirectModels) -> None:
    seen: list[str] = []
    models.server.script("writer", [text("one two three")])
    await run("text_generation", _params(), models=models, partial_sink=seen.append)
    assert ("".join(seen), len(seen)) == ("one two three", 3)
    await run("text_generation", _params(), models=models)
    assert [call.streamed for call in models.server.calls] == [True, False]


async def test_a_schema_that_came_out_of_a_template_is_checked_before_any_call(models: DirectModels) -> None:
    kind = node_type("text_generation")
    raw = _params(response_schema={"type": "object", "properties": "{{ input.fields }}"})
    assert kind.validate_params(raw, "params") == []
    for properties in ({"a": {"type": "no-such-type"}}, {"a": {"pattern": "(?=x)"}}):
        error = await _failure_at_run(models, _params(response_schema={"type": "object", "properties": properties}))
        assert (error.code, models.server.count()) == ("INVALID_CONFIG", 0)
        assert error.details["issues"][0]["path"].startswith("params.response_schema.properties.a")


async def _failure_at_run(models: DirectModels, params: dict[str, Any]) -> NodeError:
    from engine.nodes.base import NodeContext
    from engine.nodes.ports import Ports

    kind = node_type("text_generation")
    with pytest.raises(NodeError) as caught:
        await kind.execute(kind.parse_params(params), NodeContext(ports=Ports(models=models)))
    return caught.value


async def test_a_schema_that_takes_too_many_steps_is_refused(models: DirectModels) -> None:
    twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    bomb = {"$ref": "#/$defs/a0", "$defs": {**twice, "a30": {}}}
    models.server.script("writer", [text("{}")])
    error = await _failure(models, _params(response_schema=bomb))
    assert (error.code, models.server.count()) == ("INVALID_CONFIG", 1)


async def test_a_worker_without_models_says_so() -> None:
    with pytest.raises(NodeError, match="has no AI models"):
        await run("text_generation", _params())


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({"model": ""}, ("INVALID_PARAM", "params.model")),
        ({"prompt": ""}, ("INVALID_PARAM", "params.prompt")),
        ({"temperature": 3}, ("INVALID_PARAM", "params.temperature")),
        ({"max_tokens": 0}, ("INVALID_PARAM", "params.max_tokens")),
        ({"max_reasks": 6}, ("INVALID_PARAM", "params.max_reasks")),
        ({"stop": list("abcde")}, ("INVALID_PARAM", "params.stop")),
        ({"on_budget": "wait"}, ("INVALID_PARAM", "params.on_budget")),
        ({"maxtokens": 5}, ("UNKNOWN_KEY", "params.maxtokens")),
        ({"response_schema": {"type": "text"}}, ("INVALID_PARAM", "params.response_schema.type")),
        (
            {"response_schema": {"properties": {"a": {"pattern": "(?<!x)"}}}},
            ("INVALID_PARAM", "params.response_schema.properties.a.pattern"),
        ),
        ({"response_schema": {"$ref": "https://x.example"}}, ("INVALID_PARAM", 'params.response_schema["$ref"]')),
    ],
)
async def test_a_bad_parameter_is_an_issue_of_the_document(changes: dict[str, Any], issue: tuple[str, str]) -> None:
    assert codes("text_generation", _params(**changes)) == [issue]
