from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.errors import NodeError
from tests.ai_server import PNG, pictures, text
from tests.engine.nodes.ai.direct import DirectModels
from tests.engine.nodes.running import codes, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
_JPEG = b"\xff\xd8\xff\xe0" + b"0" * 50_000


async def test_pictures_come_as_bytes_with_their_kind(models: DirectModels) -> None:
    models.server.script("painter", [pictures(PNG, _JPEG)])
    result = await run("image_generation", {"model": "painter", "prompt": "a cat", "count": 2}, models=models)
    assert [image["content_type"] for image in result.output["images"]] == ["image/png", "image/jpeg"]
    assert base64.b64decode(result.output["images"][1]["base64"]) == _JPEG
    assert result.output["usage"] == {"input_tokens": 7, "output_tokens": 3, "cost": None}


async def test_a_picture_can_be_shown_to_a_chat_model_as_it_is(models: DirectModels) -> None:
    made = await run("image_generation", {"model": "painter", "prompt": "a cat"}, models=models)
    models.server.script("seer", [text("a cat")])
    parts = [{"type": "image", "image": made.output["images"][0]}]
    params = {"model": "seer", "messages": [{"role": "user", "content": parts}]}
    assert (await run("chat", params, models=models)).output["text"] == "a cat"


async def test_bytes_that_are_no_picture_never_go_on(models: DirectModels) -> None:
    models.server.script("painter", [pictures(b"<html>")])
    with pytest.raises(NodeError) as caught:
        await run("image_generation", {"model": "painter", "prompt": "a cat"}, models=models)
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({"prompt": ""}, ("INVALID_PARAM", "params.prompt")),
        ({"count": 0}, ("INVALID_PARAM", "params.count")),
        ({"count": 11}, ("INVALID_PARAM", "params.count")),
        ({"size": ""}, ("INVALID_PARAM", "params.size")),
        ({"sise": "1024x1024"}, ("UNKNOWN_KEY", "params.sise")),
    ],
)
async def test_a_bad_parameter_is_an_issue_of_the_document(changes: dict[str, Any], issue: tuple[str, str]) -> None:
    assert codes("image_generation", {"model": "painter", "prompt": "a cat", **changes}) == [issue]
