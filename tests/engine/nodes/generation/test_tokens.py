from __future__ import annotations

from engine.nodes.generation.port import GenerationRequest, Message, Picture, Tool
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens


def test_four_bytes_are_a_token_and_begun_ones_count() -> None:
    assert estimated_tokens([]) == 0
    assert estimated_tokens(["", "abcd", "abcde"]) == 3  # 0 + 1 + 2
    assert estimated_tokens(["日本"]) == 2  # six bytes


def test_everything_that_is_sent_counts() -> None:
    # "hello" is 2, and the system's turn and the user's are 4 each.
    bare = GenerationRequest(messages=[Message("user", ("hello",))])
    assert estimated_input_tokens(bare) == 10
    seen = GenerationRequest(
        messages=[Message("user", ("hello", Picture(b"", "image/png")))],
        system="be brief",  # 2
        tools=[Tool("find", "it", {})],  # "find it {}" is 3
        schema={"type": "object"},  # 17 bytes are 5
    )
    assert estimated_input_tokens(seen) == 10 + 1000 + 2 + 3 + 5
