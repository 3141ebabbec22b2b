"""Google Gemini by its own SDK."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
from google.genai import Client, errors, types

from engine.activities.clients.ai.batches import batches, vector_of
from engine.activities.clients.ai.calls import base_url_of, filtered, one_call, refusal, required_key, unreadable
from engine.activities.clients.ai.gemini_messages import call_of, reduced_schema, written_contents, written_tools
from engine.activities.clients.ai.transport import ProviderHttp
from engine.errors import NodeError
from engine.nodes.generation.answers import schema_instruction
from engine.nodes.generation.pictures import picture_of
from engine.nodes.generation.port import (
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    ModelConnection,
    Picture,
    ToolCall,
    Usage,
)
from engine.nodes.generation.tokens import estimated_input_tokens, estimated_tokens

_USUAL = "https://generativelanguage.googleapis.com"
_FINISH: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}
_GARBLED = ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE")
_FILTERED = (
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
)
_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})")
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d+)?)s")


def open_gemini(http: ProviderHttp) -> GeminiProvider:
    return GeminiProvider(http)


@dataclass(slots=True)
class _Answer:
    """An answer as it comes together from its pieces."""

    text: list[str] = field(default_factory=list[str])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    pictures: list[Picture] = field(default_factory=list[Picture])
    finish: str = ""
    blocked: str = ""
    usage: types.GenerateContentResponseUsageMetadata | None = None

    def add(self, piece: types.GenerateContentResponse) -> str:
        """Take a piece in, and give its text."""
        self.usage = piece.usage_metadata or self.usage
        if piece.prompt_feedback is not None and piece.prompt_feedback.block_reason is not None:
            self.blocked = str(piece.prompt_feedback.block_reason.value)
        candidate = piece.candidates[0] if piece.candidates else None
        if candidate is None:
            return ""
        if candidate.finish_reason is not None:
            self.finish = str(candidate.finish_reason.value)
        parts = candidate.content.parts if candidate.content is not None else None
        return "".join([self._part(part) for part in parts or ()])

    def _part(self, part: types.Part) -> str:
        if part.function_call is not None:
            self.calls.append(call_of(part, len(self.calls)))
        if part.inline_data is not None and part.inline_data.data:
            self.pictures.append(picture_of(part.inline_data.data))
        text = "" if part.thought else part.text or ""
        self.text.append(text)
        return text

    def used(self, likely: Usage) -> Usage:
        """The tokens that were counted (thoughts are paid for as output), or the likely ones without a count."""
        if self.usage is None:
            return likely
        count = self.usage
        read = (count.prompt_token_count or 0) + (count.tool_use_prompt_token_count or 0)
        return Usage(read, (count.candidates_token_count or 0) + (count.thoughts_token_count or 0))


class GeminiProvider:
    """Generation, pictures by models that draw, and embeddings."""

    name = "gemini"
    most_texts = 100

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http
        self._clients: dict[int, Client] = {}

    async def generate(self, connection: ModelConnection, request: GenerationRequest) -> Generation:
        async with self._calling(connection, request.timeout_s) as (client, options):
            answer = await _answered(client, connection, request, _config(request, options))
            _check(connection, answer)
            if not answer.finish:
                raise ValueError("it ended before the answer did")
            likely = Usage(estimated_input_tokens(request), estimated_tokens(["".join(answer.text)]))
            finish = "tool_calls" if answer.calls else _FINISH.get(answer.finish, "other")
            return Generation(
                "".join(answer.text), answer.calls, finish, answer.used(likely), connection.model, connection.provider
            )

    async def images(self, connection: ModelConnection, request: ImageRequest) -> Images:
        async with self._calling(connection, request.timeout_s) as (client, options):
            # These models make one picture a call.
            tasks = [asyncio.create_task(_picture(client, connection, request, options)) for _ in range(request.count)]
            try:
                made = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()  # one that failed leaves no others behind that would be paid for
        usage = sum((used for _, used in made), Usage())
        pictures = [picture for found, _ in made for picture in found][: request.count]
        return Images(pictures, usage, connection.model, connection.provider)

    async def embed(self, connection: ModelConnection, request: EmbeddingRequest) -> Embeddings:
        vectors: list[list[float]] = []
        async with self._calling(connection, request.timeout_s) as (client, options):
            config = types.EmbedContentConfig(http_options=options, output_dimensionality=request.dimensions)
            for texts in batches(request.texts, self.most_texts):
                # Bare texts would be taken for the parts of one content by some models.
                contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
                answer = await client.aio.models.embed_content(
                    model=connection.model, contents=cast("Any", contents), config=config
                )
                found = [vector_of(embedding.values) for embedding in answer.embeddings or ()]
                if len(found) != len(texts):
                    raise ValueError(f"it holds {len(found)} embeddings for {len(texts)} texts")
                vectors += found
        # Google counts no tokens for embeddings.
        usage = Usage(estimated_tokens(request.texts), 0)
        return Embeddings(vectors, usage, connection.model, connection.provider)

    @asynccontextmanager
    async def _calling(
        self, connection: ModelConnection, timeout_s: float
    ) -> AsyncGenerator[tuple[Client, types.HttpOptions]]:
        options = types.HttpOptions(
            base_url=base_url_of(connection, _USUAL),
            headers={"x-goog-api-key": required_key(connection)},
            extra_body=dict(connection.options) or None,
        )
        async with one_call(connection, timeout_s):
            try:
                yield self._client(self._http.client(connection)), options
            except errors.APIError as error:
                raise _refused(connection, error) from None
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise unreadable(connection, str(error)) from None

    def _client(self, http: httpx2.AsyncClient) -> Client:
        """One of the SDK's clients for each of ours. Building one takes 20 ms: address and key come with each call."""
        found = self._clients.get(id(http))
        if found is None:
            options = types.HttpOptions(httpx_async_client=cast("Any", http), base_url=_USUAL)
            found = self._clients[id(http)] = Client(vertexai=False, api_key="none", http_options=options)
        return found


def _config(request: GenerationRequest, options: types.HttpOptions) -> types.GenerateContentConfig:
    native = request.schema is not None and not request.tools  # most models take one of the two alone
    told = "" if request.schema is None or native else schema_instruction(request.schema)
    system = "\n\n".join(part for part in (request.system, told) if part)
    config = types.GenerateContentConfig(
        http_options=options,
        system_instruction=system or None,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        max_output_tokens=request.max_tokens,
        stop_sequences=list(request.stop) or None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        response_mime_type="application/json" if native else None,
        response_json_schema=reduced_schema(request.schema) if native else None,
    )
    if request.tools:
        config.tools = [written_tools(request.tools)]
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[request.tool_choice]
        calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode(mode))
        config.tool_config = types.ToolConfig(function_calling_config=calling)
    return config


async def _answered(
    client: Client, connection: ModelConnection, request: GenerationRequest, config: types.GenerateContentConfig
) -> _Answer:
    answer = _Answer()
    contents = cast("Any", written_contents(request.messages))
    models = client.aio.models
    if request.on_partial is None:
        answer.add(await models.generate_content(model=connection.model, contents=contents, config=config))
        return answer
    async for piece in await models.generate_content_stream(model=connection.model, contents=contents, config=config):
        text = answer.add(piece)
        if text:
            request.on_partial(text)
    return answer


def _check(connection: ModelConnection, answer: _Answer) -> None:
    if answer.blocked:
        raise filtered(connection, f"the prompt is blocked: {answer.blocked}")
    if answer.finish in _FILTERED:
        raise filtered(connection, answer.finish)
    if answer.finish in _GARBLED:
        raise ValueError(answer.finish)


async def _picture(
    client: Client, connection: ModelConnection, request: ImageRequest, options: types.HttpOptions
) -> tuple[list[Picture], Usage]:
    config = types.GenerateContentConfig(
        http_options=options,
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio=aspect_ratio(request.size), image_size=request.quality),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    answer = _Answer()
    answer.add(await client.aio.models.generate_content(model=connection.model, contents=request.prompt, config=config))
    _check(connection, answer)
    if not answer.pictures:
        raise ValueError("there is no picture in it")
    return answer.pictures, answer.used(Usage(estimated_tokens([request.prompt]), 0))


def aspect_ratio(size: str | None) -> str | None:
    """`1024x768` as 4:3; anything else as it is, such as 16:9."""
    match = _PIXELS.fullmatch(size or "")
    if match is None or "0" in (match[1], match[2]):
        return size
    width, height = int(match[1]), int(match[2])
    divisor = math.gcd(width, height)
    return f"{width // divisor}:{height // divisor}"


def _refused(connection: ModelConnection, error: errors.APIError) -> NodeError:
    body: Any = error.details
    inner: Any = body.get("error", body) if isinstance(body, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    notes = [item for item in cast("Any", inner.get("details") or ()) if isinstance(item, dict)]
    reason = next((str(note["reason"]) for note in notes if "reason" in note), error.status or "")
    waits = [_SECONDS.fullmatch(str(note.get("retryDelay", ""))) for note in notes]
    wait_s = next((float(wait[1]) for wait in waits if wait), None)
    headers = getattr(error.response, "headers", None) or {}
    status = error.code if isinstance(cast("Any", error.code), int) else 500
    return refusal(connection, status, str(error.message or ""), headers=headers, provider_code=reason, wait_s=wait_s)
