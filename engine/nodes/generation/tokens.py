"""A rough count of tokens, for budgets before a call and for answers that come without a count."""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.nodes.generation.port import GenerationRequest
from engine.nodes.json_text import dump_json

_BYTES_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4
_TOKENS_A_PICTURE = 1000


def estimated_tokens(texts: Iterable[str]) -> int:
    """About as many tokens as the texts have: one for each four bytes of UTF-8, begun ones counted whole."""
    return sum(math.ceil(len(text.encode()) / _BYTES_A_TOKEN) for text in texts)


def estimated_input_tokens(request: GenerationRequest) -> int:
    """About as many tokens as a request's messages, pictures, tools and schema have; never 0."""
    pictures = sum(len(message.pictures) for message in request.messages)
    texts = [request.system, *(message.text for message in request.messages)]
    texts += [f"{tool.name} {tool.description} {dump_json(tool.parameters).decode()}" for tool in request.tools]
    if request.schema is not None:
        texts.append(dump_json(request.schema).decode())
    return estimated_tokens(texts) + _TOKENS_A_MESSAGE * (1 + len(request.messages)) + _TOKENS_A_PICTURE * pictures
