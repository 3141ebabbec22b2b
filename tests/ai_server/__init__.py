"""A loopback server that speaks the protocols of OpenAI, Gemini and Ollama to the real clients, and answers by script.

    async with running_ai_server() as server:
        server.script("gpt", [text("not json"), refused(429, retry_after="2"), text('{"n": 1}')])
        ...                                  # base_url=server.openai_url, gemini_url or ollama_url
        assert server.count("gpt") == 3
        assert server.calls[0].body["messages"][0]["role"] == "user"

A model that has no script, or whose script has run out, answers `server.otherwise` ("ok"). Embeddings are
`vector_of(text)`, so that a test sees whose vector it got. Any model answers any protocol.
"""

from tests.ai_server.script import (
    PNG,
    Answer,
    Received,
    dropped,
    garbled,
    pictures,
    refused,
    slow,
    text,
    tool_call,
    vector_of,
)
from tests.ai_server.server import AiServer, running_ai_server

__all__ = [
    "PNG",
    "AiServer",
    "Answer",
    "Received",
    "dropped",
    "garbled",
    "pictures",
    "refused",
    "running_ai_server",
    "slow",
    "text",
    "tool_call",
    "vector_of",
]
