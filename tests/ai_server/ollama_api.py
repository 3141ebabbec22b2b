"""Ollama's protocol: /api/chat and /api/embed."""

from __future__ import annotations

from typing import Any

from tests.ai_server.script import Answer, Received, vector_of
from tests.ai_server.wire import Pieces, lines


def refusal(answer: Answer) -> dict[str, Any]:
    return {"error": answer.text}


def chat(answer: Answer, call: Received) -> dict[str, Any] | Pieces:
    last: dict[str, Any] = {"done": True, "done_reason": answer.finish, "total_duration": 1}
    if answer.input_tokens is not None:
        last |= {"prompt_eval_count": answer.input_tokens, "eval_count": answer.output_tokens}
    if answer.refusal:
        return lines([_line(call, {"content": "so f"}, {"done": False}), {"error": answer.refusal}])
    calls = [{"function": {"name": item["name"], "arguments": item["arguments"]}} for item in answer.tool_calls]
    asked = {"tool_calls": calls} if calls else {}
    if not call.body.get("stream", True):
        return _line(call, {"content": answer.text, **asked}, last)
    written = [_line(call, {"content": part}, {"done": False}) for part in answer.parts()]
    if asked:
        written.append(_line(call, {"content": "", **asked}, {"done": False}))
    return lines([*written, _line(call, {"content": ""}, last)])


def _line(call: Received, message: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": call.model,
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", **message},
        **rest,
    }


def embed(answer: Answer, call: Received) -> dict[str, Any]:
    texts = call.body["input"]
    vectors = [vector_of(text, call.body.get("dimensions")) for text in texts]
    return {"model": call.model, "embeddings": vectors, "prompt_eval_count": len(texts)}
