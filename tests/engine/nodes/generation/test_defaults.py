from __future__ import annotations

from engine.nodes.generation.defaults import apply_defaults
from engine.nodes.generation.port import EmbeddingRequest, GenerationRequest, ImageRequest


def test_what_a_request_leaves_open_comes_from_the_row() -> None:
    request = GenerationRequest(messages=[], temperature=0.0, max_tokens=None)
    filled = apply_defaults(request, {"temperature": 1.0, "max_tokens": 9, "stop": ["END"], "size": "1x1"})
    assert (filled.temperature, filled.max_tokens, list(filled.stop)) == (0.0, 9, ["END"])


def test_each_kind_of_request_takes_its_own() -> None:
    row = {"size": "16:9", "quality": "high", "dimensions": 3, "options": {"x": 1}, "prompt": "never"}
    images = apply_defaults(ImageRequest(prompt="a cat"), row)
    assert (images.prompt, images.size, images.quality) == ("a cat", "16:9", "high")
    assert apply_defaults(EmbeddingRequest(texts=["a"]), row).dimensions == 3
