"""OpenAI by its own SDK, and every other server that speaks its protocol, by `base_url`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import openai
from pydantic import BaseModel

from engine.activities.clients.ai.batches import batches, vector_of
from engine.activities.clients.ai.calls import (
    base_url_of,
    filtered,
    key_of,
    one_call,
    refusal,
    required_key,
    unreadable,
)
from engine.activities.clients.ai.chat_protocol import Answer, is_strict, written_messages, written_tool
from engine.activities.clients.ai.transport import ProviderHttp
from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.generation.answers import schema_instruction
from engine.nodes.generation.pictures import picture_of
from engine.nodes.generation.port import (
    EmbeddingRequest,
    Embeddings,
    Generation,
    GenerationRequest,
    ImageRequest,
    Images,
    ModelConnection,
    Picture,
    Usage,
)
from engine.nodes.generation.tokens import estimated_tokens

_USUAL = "https://api.openai.com/v1"


def open_openai(http: ProviderHttp) -> OpenAiProvider:
    return OpenAiProvider("openai", http, most_texts=2048, official=True)


def open_compatible(http: ProviderHttp) -> OpenAiProvider:
    return OpenAiProvider("openai_compatible", http, most_texts=100, official=False)


class _Client(openai.AsyncOpenAI):
    """The SDK's client without what it would take from the worker's environment, which is nobody's business there."""

    def __init__(self, base_url: str, key: str, http: ProviderHttp, connection: ModelConnection) -> None:
        super().__init__(
            api_key=key,
            admin_api_key="",
            base_url=base_url,
            http_client=http.client(connection),
            max_retries=0,  # the engine alone decides whether a call is made again
            timeout=None,
        )
        self.organization = self.project = None
        self._custom_headers = {"user-agent": "structforge"}


class OpenAiProvider:
    """Chat completions, images and embeddings. Not `official`, it sends what older and other servers understand."""

    def __init__(self, name: str, http: ProviderHttp, *, most_texts: int, official: bool) -> None:
        self.name = name
        self.most_texts = most_texts
        self._http = http
        self._official = official

    async def generate(self, connection: ModelConnection, request: GenerationRequest) -> Generation:
        body = self._body(connection, request)
        async with self._calling(connection, request.timeout_s) as client:
            if request.on_partial is None:
                answer = _whole(await client.chat.completions.create(**body))
            else:
                answer = await _streamed(client, body, request)
            return _generation(connection, request, answer)

    async def images(self, connection: ModelConnection, request: ImageRequest) -> Images:
        body = {"size": request.size, "quality": request.quality}
        body = {name: value for name, value in body.items() if value is not None}
        if not self._official or connection.model.startswith("dall-e"):
            body["response_format"] = "b64_json"  # later models send nothing else, and refuse the parameter
        async with self._calling(connection, request.timeout_s) as client:
            answer = await client.images.generate(
                model=connection.model,
                prompt=request.prompt,
                n=request.count,
                extra_body=dict(connection.options),
                extra_headers=_headers(request.idempotency_key),
                **cast("Any", body),
            )
            data = _dumped(answer)
            pictures = [await self._picture(connection, item) for item in data.get("data") or ()]
            if not pictures:
                raise ValueError("there is no picture in it")
            usage: dict[str, Any] = data.get("usage") or {}
            prompt_tokens = usage.get("input_tokens") or estimated_tokens([request.prompt])
            return Images(
                pictures, Usage(prompt_tokens, usage.get("output_tokens") or 0), connection.model, connection.provider
            )

    async def embed(self, connection: ModelConnection, request: EmbeddingRequest) -> Embeddings:
        wanted = {} if request.dimensions is None else {"dimensions": request.dimensions}
        vectors: list[list[float]] = []
        usage = Usage()
        async with self._calling(connection, request.timeout_s) as client:
            for texts in batches(request.texts, self.most_texts):
                answer = await client.embeddings.create(
                    model=connection.model,
                    input=texts,
                    encoding_format="float",
                    extra_body=dict(connection.options),
                    extra_headers=_headers(request.idempotency_key),
                    **cast("Any", wanted),
                )
                data = _dumped(answer)
                vectors += _vectors(data, len(texts))
                counted = (data.get("usage") or {}).get("prompt_tokens") or estimated_tokens(texts)
                usage += Usage(counted, 0)
        return Embeddings(vectors, usage, connection.model, connection.provider)

    async def _picture(self, connection: ModelConnection, item: dict[str, Any]) -> Picture:
        if item.get("b64_json"):
            return picture_of(_unpacked(item["b64_json"]))
        response = await self._http.client(connection).get(item["url"])
        if response.status_code != 200:
            raise ValueError(f"its picture cannot be fetched, status {response.status_code}")
        return picture_of(response.content)

    @asynccontextmanager
    async def _calling(self, connection: ModelConnection, timeout_s: float) -> AsyncGenerator[_Client]:
        base_url, key = self._place(connection)
        async with one_call(connection, timeout_s):
            try:
                yield _Client(base_url, key, self._http, connection)
            except openai.APIStatusError as error:
                raise _refused(connection, error) from None
            except openai.APIError as error:
                raise _broken_off(connection, error) from None
            except (openai.OpenAIError, ValueError, TypeError, KeyError, AttributeError) as error:
                # The SDK checks little of what it is sent, so answers of another shape show where they are read.
                raise unreadable(connection, str(error)) from None

    def _place(self, connection: ModelConnection) -> tuple[str, str]:
        if self._official:
            return base_url_of(connection, _USUAL), required_key(connection)
        if connection.base_url is None:
            message = f"the model {connection.model} of {self.name} needs a base_url"
            raise NodeError(message, code=INVALID_CONFIG)
        return base_url_of(connection, connection.base_url), key_of(connection) or "none"

    def _body(self, connection: ModelConnection, request: GenerationRequest) -> dict[str, Any]:
        limit = "max_completion_tokens" if self._official else "max_tokens"
        body: dict[str, Any] = {
            "model": connection.model,
            "messages": written_messages(request, self._system(request)),
            limit: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "response_format": _response_format(request.schema),
        }
        if request.tools:
            body["tools"] = [written_tool(tool) for tool in request.tools]
            body["tool_choice"] = request.tool_choice
        body = {name: value for name, value in body.items() if value is not None}
        return {**body, "extra_body": dict(connection.options), "extra_headers": _headers(request.idempotency_key)}

    def _system(self, request: GenerationRequest) -> str:
        """The system prompt; with the schema in it where the server might not know of `response_format`."""
        schema = request.schema
        if schema is None or (self._official and _response_format(schema) is not None):
            return request.system
        return "\n\n".join(part for part in (request.system, schema_instruction(schema)) if part)


def _response_format(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if schema is None or schema.get("type") != "object":
        return None  # the protocol takes objects alone
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": is_strict(schema)}}


def _headers(idempotency_key: str) -> dict[str, str]:
    return {"Idempotency-Key": idempotency_key} if idempotency_key.isascii() and idempotency_key else {}


def _dumped(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, BaseModel):
        raise ValueError("it is no JSON")
    return answer.model_dump()


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("its picture is no base64") from None


def _whole(completion: Any) -> Answer:
    data = _dumped(completion)
    answer = Answer(usage=data.get("usage"))
    choice = (data.get("choices") or [None])[0]
    if choice is None:
        raise ValueError("there is no choice in it")
    answer.add(choice, choice["message"])
    return answer


async def _streamed(client: _Client, body: dict[str, Any], request: GenerationRequest) -> Answer:
    answer = Answer()
    stream = await client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})
    async with cast("Any", stream) as chunks:
        async for chunk in chunks:
            data = _dumped(chunk)
            answer.usage = data.get("usage") or answer.usage
            for choice in data.get("choices") or ():
                text = answer.add(choice, choice.get("delta") or {})
                if text and request.on_partial is not None:
                    request.on_partial(text)
    if answer.finish is None:
        raise ValueError("it ended before the answer did")
    return answer


def _generation(connection: ModelConnection, request: GenerationRequest, answer: Answer) -> Generation:
    refused = "".join(answer.refusal)
    if refused or answer.finish_reason == "content_filter":
        raise filtered(connection, refused or "its content filter acted")
    return Generation(
        "".join(answer.text),
        answer.tool_calls,
        answer.finish_reason,
        answer.used(request),
        connection.model,
        connection.provider,
    )


def _vectors(data: dict[str, Any], count: int) -> list[list[float]]:
    items = sorted(data["data"], key=lambda item: item["index"])
    if [item["index"] for item in items] != list(range(count)):
        raise ValueError(f"it holds {len(items)} embeddings for {count} texts")
    return [vector_of(item["embedding"]) for item in items]


def _refused(connection: ModelConnection, error: openai.APIStatusError) -> NodeError:
    body: dict[str, Any] = cast("dict[str, Any]", error.body) if isinstance(error.body, dict) else {}
    message = str(body.get("message") or error.response.text)
    code = error.code or str(body.get("type") or "")
    return refusal(connection, error.status_code, message, headers=error.response.headers, provider_code=code)


def _broken_off(connection: ModelConnection, error: openai.APIError) -> NodeError:
    """An error that came in the middle of a stream, where no status can say what it means."""
    kinds = f"{error.code} {error.type}"
    if isinstance(error, openai.APIResponseValidationError):
        return unreadable(connection, error.message)
    status = 429 if "rate_limit" in kinds else 500
    return refusal(connection, status, error.message, provider_code=error.code or "")
