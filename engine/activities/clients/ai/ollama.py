"""Ollama by its own API: whole answers, or lines of JSON as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2

from engine.activities.clients.ai.batches import batches, vector_of
from engine.activities.clients.ai.calls import base_url_of, key_of, one_call, refusal, unable, unreadable
from engine.activities.clients.ai.transport import ProviderHttp
from engine.nodes.generation.answers import schema_instruction
from engine.nodes.generation.pictures import as_base64
from engine.nodes.generation.port import (
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    Message,
    ModelConnection,
    ToolCall,
    Usage,
)
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens
from engine.nodes.json_text import parse_json

_USUAL = "http://127.0.0.1:11434"
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def open_ollama(http: ProviderHttp) -> OllamaProvider:
    return OllamaProvider(http)


@dataclass(slots=True)
class _Answer:
    """An answer as it comes together from its lines."""

    text: list[str] = field(default_factory=list[str])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    last: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, line: dict[str, Any]) -> str:
        """Take a line in, and give its text."""
        message = line.get("message") or {}
        for call in message.get("tool_calls") or ():
            function = call["function"]
            known = call.get("id") or f"ollama-{len(self.calls)}"
            self.calls.append(ToolCall(known, function["name"], function.get("arguments") or {}))
        text = message.get("content") or ""
        self.text.append(text)
        if line.get("done"):
            self.last = line
        return text

    def finished(self, connection: ModelConnection, request: GenerationRequest) -> Generation:
        if not self.last:
            raise ValueError("it ended before the answer did")
        text = "".join(self.text)
        finish = "tool_calls" if self.calls else _FINISH.get(self.last.get("done_reason") or "stop", "other")
        usage = Usage(
            self.last.get("prompt_eval_count") or estimated_input_tokens(request),
            self.last.get("eval_count") or estimated_tokens([text]),
        )
        return Generation(text, self.calls, finish, usage, connection.model, connection.provider)


class OllamaProvider:
    """Chat and embeddings; there are no pictures to be had."""

    name = "ollama"
    most_texts = 100

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    async def generate(self, connection: ModelConnection, request: GenerationRequest) -> Generation:
        answer = _Answer()
        async with self._post(connection, "/api/chat", _chat(connection, request), request.timeout_s) as response:
            async for line in _lines(connection, response):
                text = answer.add(line)
                if text and request.on_partial is not None:
                    request.on_partial(text)
            return answer.finished(connection, request)

    async def images(self, connection: ModelConnection, request: ImageRequest) -> Images:
        raise unable(connection, "pictures")

    async def embed(self, connection: ModelConnection, request: EmbeddingRequest) -> Embeddings:
        vectors: list[list[float]] = []
        usage = Usage()
        for texts in batches(request.texts, self.most_texts):
            body: dict[str, Any] = {"model": connection.model, "input": texts, **connection.options}
            if request.dimensions is not None:
                body["dimensions"] = request.dimensions
            async with self._post(connection, "/api/embed", body, request.timeout_s) as response:
                answer = parse_json(await response.aread())
                found = [vector_of(vector) for vector in answer["embeddings"]]
                if len(found) != len(texts):
                    raise ValueError(f"it holds {len(found)} embeddings for {len(texts)} texts")
                vectors += found
                usage += Usage(answer.get("prompt_eval_count") or estimated_tokens(texts), 0)
        return Embeddings(vectors, usage, connection.model, connection.provider)

    @asynccontextmanager
    async def _post(
        self, connection: ModelConnection, path: str, body: dict[str, Any], timeout_s: float
    ) -> AsyncGenerator[httpx2.Response]:
        key = key_of(connection)
        headers = {"accept": "application/x-ndjson, application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        url = base_url_of(connection, _USUAL) + path
        async with one_call(connection, timeout_s):
            try:
                async with self._http.client(connection).stream("POST", url, json=body, headers=headers) as response:
                    if response.status_code != 200:
                        text = (await response.aread()).decode(errors="replace")
                        raise refusal(connection, response.status_code, _reason(text), headers=response.headers)
                    yield response
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise unreadable(connection, str(error)) from None


def _chat(connection: ModelConnection, request: GenerationRequest) -> dict[str, Any]:
    wanted = {
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop) or None,
    }
    told = "" if request.schema is None else schema_instruction(request.schema)
    system = "\n\n".join(part for part in (request.system, told) if part)
    body: dict[str, Any] = {
        "model": connection.model,
        "messages": ([{"role": "system", "content": system}] if system else [])
        + [_message(message) for message in request.messages],
        "stream": request.on_partial is not None,
        "options": {name: value for name, value in wanted.items() if value is not None},
    }
    if request.schema is not None:
        body["format"] = request.schema
    if request.tools and request.tool_choice != "none":
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters or {"type": "object", "properties": {}},
                },
            }
            for tool in request.tools
        ]
    own = dict(connection.options)
    body["options"] |= own.pop("options", {})
    return {**body, **own}


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.pictures:
        written["images"] = [as_base64(picture) for picture in message.pictures]
    if message.tool_calls:
        written["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments if isinstance(call.arguments, dict) else {}}}
            for call in message.tool_calls
        ]
    if message.role == "tool" and message.name:
        written["tool_name"] = message.name
    return written


async def _lines(connection: ModelConnection, response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if not line.strip():
            continue
        data = parse_json(line)
        if not isinstance(data, dict):
            raise ValueError("a line of it is no object")
        found = cast("dict[str, Any]", data)
        if "error" in found:
            raise refusal(connection, 500, str(found["error"]))
        yield found


def _reason(text: str) -> str:
    try:
        data = parse_json(text)
    except ValueError:
        return text
    return str(cast("dict[str, Any]", data).get("error", text)) if isinstance(data, dict) else text
