"""Gemini's protocol: generateContent, streamGenerateContent, embeddings."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.ai_server.script import Answer, Received, vector_of
from tests.ai_server.wire import Pieces, events

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_STATUS = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


def refusal(answer: Answer) -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if answer.code:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": answer.code})
    if answer.retry_info:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": answer.retry_info})
    status = _STATUS.get(answer.status, "INTERNAL")
    return {"error": {"code": answer.status, "message": answer.text, "status": status, "details": details}}


def generate(answer: Answer, call: Received) -> dict[str, Any]:
    wants_pictures = "IMAGE" in call.body.get("generationConfig", {}).get("responseModalities", ())
    parts = _pictures(answer) if wants_pictures else [{"text": answer.text}] if answer.text else []
    return _piece(answer, parts + _calls(answer), last=True)


def stream(answer: Answer, call: Received) -> Pieces:
    pieces = [_piece(answer, [{"text": part}], last=False) for part in answer.parts()]
    return events([*pieces, _piece(answer, _calls(answer), last=True)], done=False)


def _piece(answer: Answer, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    if answer.refusal:
        return {"promptFeedback": {"blockReason": "SAFETY"}}
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = _FINISH[answer.finish]
    piece: dict[str, Any] = {"candidates": [candidate]}
    if last and answer.input_tokens is not None:
        piece["usageMetadata"] = {
            "promptTokenCount": answer.input_tokens,
            "candidatesTokenCount": answer.output_tokens,
            "thoughtsTokenCount": 2,
        }
    return piece


def _calls(answer: Answer) -> list[dict[str, Any]]:
    signature = base64.b64encode(b"thought").decode()
    return [
        {"functionCall": {"name": call["name"], "args": _arguments(call)}, "thoughtSignature": signature}
        for call in answer.tool_calls
    ]


def _arguments(call: dict[str, Any]) -> Any:
    return json.loads(call["arguments"]) if isinstance(call["arguments"], str) else call["arguments"]


def _pictures(answer: Answer) -> list[dict[str, Any]]:
    inline = [{"mimeType": "image/png", "data": base64.b64encode(data).decode()} for data in answer.pictures]
    return [{"text": "Here it is."}, *({"inlineData": item} for item in inline)]


def batch_embed(answer: Answer, call: Received) -> dict[str, Any]:
    return {"embeddings": [_embedding(item) for item in call.body["requests"]]}


def embed(answer: Answer, call: Received) -> dict[str, Any]:
    return {"embedding": _embedding(call.body)}


def _embedding(item: dict[str, Any]) -> dict[str, Any]:
    text = "".join(part["text"] for part in item["content"]["parts"])
    return {"values": vector_of(text, item.get("outputDimensionality"))}


WRITERS = {
    "generateContent": generate,
    "streamGenerateContent": stream,
    "embedContent": embed,
    "batchEmbedContents": batch_embed,
}
