from __future__ import annotations

import base64
from typing import Any

import pytest
from pytest import param  # noqa: PT013

from engine.errors import NodeError
from engine.nodes.ports import HttpRequest, HttpResponse
from tests.ai_server import PNG, Answer, text, tool_call
from tests.engine.nodes.ai.direct import DirectModels
from tests.engine.nodes.running import codes, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
_TOOL = {
    "name": "find_order",
    "description": "Look an order up",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
}
_ENCODED = base64.b64encode(PNG).decode()


def _params(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "writer", "messages": list(messages) or [{"role": "user", "content": "hello"}], **more}


async def test_the_models_turn_goes_into_the_next_conversation_as_it_is(models: DirectModels) -> None:
    models.server.script("writer", [text("hello yourself")])
    first = await run("chat", _params(), models=models)
    assert first.output["message"] == {"role": "assistant", "content": "hello yourself"}
    assert first.output["text"] == "hello yourself"
    said = [{"role": "user", "content": "hello"}, first.output["message"], {"role": "user", "content": "and now?"}]
    await run("chat", _params(*said), models=models)
    assert [message["content"] for message in models.server.last().body["messages"]] == [
        "hello",
        "hello yourself",
        "and now?",
    ]


async def test_system_turns_and_the_system_prompt_come_first(models: DirectModels) -> None:
    turns = [{"role": "user", "content": "hello"}, {"role": "system", "content": "rhyme"}]
    await run("chat", _params(*turns, system_prompt="be brief"), models=models)
    assert models.server.last().body["messages"] == [
        {"role": "system", "content": "be brief\n\nrhyme"},
        {"role": "user", "content": "hello"},
    ]


async def test_a_tool_call_comes_back_and_its_result_goes_in(models: DirectModels) -> None:
    models.server.script("writer", [tool_call("find_order", {"number": 12})])
    asked = await run("chat", _params(tools=[_TOOL]), models=models)
    (call,) = asked.output["message"]["tool_calls"]
    assert (asked.output["finish_reason"], call["name"], call["arguments"]) == (
        "tool_calls",
        "find_order",
        {"number": 12},
    )
    assert asked.output["message"]["content"] is None
    result = {"role": "tool", "tool_call_id": call["id"], "content": {"state": "sent"}}
    await run("chat", _params({"role": "user", "content": "?"}, asked.output["message"], result), models=models)
    _, said, answered = models.server.last().body["messages"]
    assert said["tool_calls"][0]["function"] == {"name": "find_order", "arguments": '{"number":12}'}
    assert answered == {"role": "tool", "tool_call_id": call["id"], "content": '{"state":"sent"}'}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"number": "twelve"}, "arguments.number: 'twelve' is not of type 'integer'"),
        ("{number:", "no JSON object"),
        ({}, "'number' is a required property"),
    ],
)
async def test_a_call_that_the_tool_could_not_take_is_asked_for_again(
    models: DirectModels, wrong: Any, fault: str
) -> None:
    models.server.script("writer", [tool_call("find_order", wrong), tool_call("find_order", {"number": 12})])
    result = await run("chat", _params(tools=[_TOOL]), models=models)
    assert result.output["message"]["tool_calls"][0]["arguments"] == {"number": 12}
    assert models.server.count() == 2
    assert fault in models.server.last().body["messages"][-1]["content"]


async def test_a_tool_that_is_not_there_is_never_called(models: DirectModels) -> None:
    models.server.script("writer", [tool_call("drop_tables", {})] * 3)
    with pytest.raises(NodeError, match="there is no tool 'drop_tables'") as caught:
        await run("chat", _params(tools=[_TOOL]), models=models)
    assert (caught.value.code, models.server.count()) == ("INVALID_ANSWER", 3)


async def test_a_tool_that_must_be_called_is_asked_for_again(models: DirectModels) -> None:
    models.server.script("writer", [text("hm"), tool_call("find_order", {"number": 1})])
    result = await run("chat", _params(tools=[_TOOL], tool_choice="required"), models=models)
    assert result.output["finish_reason"] == "tool_calls"
    assert models.server.last().body["tool_choice"] == "required"


async def test_with_a_schema_an_answer_is_data_and_a_call_is_none(models: DirectModels) -> None:
    models.server.script("writer", [text("[1, 2]"), tool_call("find_order", {"number": 1})])
    params = _params(tools=[_TOOL], response_schema={"type": "array"})
    answered = await run("chat", params, models=models)
    called = await run("chat", params, models=models)
    assert answered.output["data"] == [1, 2]
    assert "data" not in called.output


@pytest.mark.parametrize(
    "image",
    [
        param({"base64": _ENCODED}, id="bytes"),
        param({"base64": _ENCODED, "content_type": "image/png"}, id="output of image_generation"),
        param(f"data:image/png;base64,{_ENCODED}", id="data URL"),
        param("https://pictures.example/dot.png", id="URL"),
    ],
)
async def test_an_image_reaches_the_model_as_bytes(models: DirectModels, image: Any) -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image", "image": image}]
    await run("chat", _params({"role": "user", "content": parts}), models=models, http=_Pictures(PNG))
    (message,) = models.server.last().body["messages"]
    assert message["content"] == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_ENCODED}"}},
    ]


async def test_an_image_is_what_its_bytes_say(models: DirectModels) -> None:
    parts = [{"type": "image", "image": {"base64": base64.b64encode(b"<svg/>").decode(), "content_type": "image/png"}}]
    with pytest.raises(NodeError, match="no PNG") as caught:
        await run("chat", _params({"role": "user", "content": parts}), models=models)
    assert (caught.value.code, models.server.count()) == ("INVALID_CONFIG", 0)


async def test_an_image_that_cannot_be_fetched_says_so(models: DirectModels) -> None:
    parts = [{"type": "image", "image": "https://pictures.example/dot.png"}]
    with pytest.raises(NodeError, match="answered 503") as caught:
        await run("chat", _params({"role": "user", "content": parts}), models=models, http=_Pictures(b"", 503))
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)


class _Pictures:
    """Serves one picture to the guarded HTTP port."""

    def __init__(self, data: bytes, status: int = 200) -> None:
        self._response = HttpResponse(status, {}, data, "https://pictures.example/dot.png", 1.0)

    async def send(self, request: HttpRequest) -> HttpResponse:
        assert request.url == self._response.url
        assert request.max_response_bytes <= 20_000_000
        return self._response


async def test_a_conversation_of_system_turns_alone_is_refused(models: DirectModels) -> None:
    with pytest.raises(NodeError, match="only system messages"):
        await run("chat", _params({"role": "system", "content": "be brief"}), models=models)


async def test_an_empty_answer_is_an_answer(models: DirectModels) -> None:
    models.server.script("writer", [Answer(text="")])
    result = await run("chat", _params(), models=models)
    assert (result.output["text"], result.output["message"]["content"]) == ("", None)


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({"messages": []}, ("INVALID_PARAM", "params.messages")),
        ({"messages": [{"role": "bot", "content": "x"}]}, ("INVALID_PARAM", "params.messages[0]")),
        ({"messages": [{"role": "user"}]}, ("MISSING_PARAM", "params.messages[0].content")),
        ({"messages": [{"role": "user", "content": "x", "nmae": "y"}]}, ("UNKNOWN_KEY", "params.messages[0].nmae")),
        ({"messages": [{"role": "tool", "content": "x"}]}, ("MISSING_PARAM", "params.messages[0].tool_call_id")),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": "ftp://x"}]}]},
            ("INVALID_PARAM", "params.messages[0].content[0].image"),
        ),
        ({"tools": [{"name": "find order"}]}, ("INVALID_PARAM", "params.tools[0].name")),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, ("INVALID_PARAM", "params.tools")),
        ({"tools": [{"name": "a", "parameters": {"type": "array"}}]}, ("INVALID_PARAM", "params.tools[0].parameters")),
        (
            {"tools": [{"name": "a", "parameters": {"type": "object", "properties": {"b": {"type": "x"}}}}]},
            ("INVALID_PARAM", "params.tools[0].parameters.properties.b.type"),
        ),
    ],
)
async def test_a_bad_parameter_is_an_issue_of_the_document(changes: dict[str, Any], issue: tuple[str, str]) -> None:
    assert issue in codes("chat", {**_params(), **changes})
    assert len(codes("chat", {**_params(), **changes})) == 1


@pytest.mark.parametrize(
    "messages",
    [
        "{{ input.conversation }}",
        [{"role": "{{ input.role }}", "content": "x"}],
        ["{{ nodes.first.output.message }}", {"role": "user", "content": "{{ input.parts }}"}],
        [{"role": "user", "content": [{"type": "image", "image": "{{ nodes.draw.output.images[0] }}"}]}],
    ],
)
async def test_a_conversation_may_hold_templates_anywhere(messages: Any) -> None:
    assert codes("chat", {"model": "writer", "messages": messages}) == []
