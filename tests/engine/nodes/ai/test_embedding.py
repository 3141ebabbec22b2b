from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from tests.ai_server import vector_of
from tests.engine.nodes.ai.direct import DirectModels
from tests.engine.nodes.running import codes, node_type, run

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_one_text_gives_one_vector(models: DirectModels) -> None:
    result = await run("embedding", {"model": "embedder", "text": "hello"}, models=models)
    assert result.output["embeddings"] == [vector_of("hello")]
    assert result.output["usage"] == {"input_tokens": 1, "output_tokens": 0, "cost": None}


async def test_many_texts_come_in_batches_and_in_order(models: DirectModels) -> None:
    texts = [f"text number {number}" for number in range(5000)]
    result = await run("embedding", {"model": "embedder", "texts": texts, "dimensions": 3}, models=models)
    assert result.output["embeddings"] == [vector_of(text, 3) for text in texts]
    assert [len(call.body["input"]) for call in models.server.calls] == [2048, 2048, 904]


async def test_no_texts_give_no_vectors(models: DirectModels) -> None:
    result = await run("embedding", {"model": "embedder", "texts": []}, models=models)
    assert (result.output["embeddings"], models.server.count()) == ([], 0)


async def test_an_empty_text_of_a_template_is_refused_with_its_place() -> None:
    with pytest.raises(NodeError, match=r"params\.texts\[1\]") as caught:
        node_type("embedding").parse_params({"model": "embedder", "texts": ["a", ""]})
    assert caught.value.code == "INVALID_CONFIG"


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({}, ("INVALID_PARAM", "params")),
        ({"text": "a", "texts": ["b"]}, ("INVALID_PARAM", "params")),
        ({"text": "{{ input.a }}", "texts": "{{ input.b }}"}, ("INVALID_PARAM", "params")),
        ({"text": ""}, ("INVALID_PARAM", "params.text")),
        ({"text": "a", "dimensions": 0}, ("INVALID_PARAM", "params.dimensions")),
    ],
)
async def test_a_bad_parameter_is_an_issue_of_the_document(changes: dict[str, Any], issue: tuple[str, str]) -> None:
    assert codes("embedding", {"model": "embedder", **changes}) == [issue]
