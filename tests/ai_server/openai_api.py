"""OpenAI's protocol: chat completions, images, embeddings."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.ai_server.script import Answer, Received, vector_of
from tests.ai_server.wire import Pieces, events


def refusal(answer: Answer) -> dict[str, Any]:
    return {"error": {"message": answer.text, "type": "refused", "code": answer.code or None, "param": None}}


def chat(answer: Answer, call: Received) -> dict[str, Any] | Pieces:
    finish = "tool_calls" if answer.tool_calls else answer.finish
    head = {"id": "chatcmpl-1", "created": 1, "model": call.model}
    if not call.streamed:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or None,
            "refusal": answer.refusal or None,
        }
        if answer.tool_calls:
            message["tool_calls"] = _calls(answer)
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return {**head, "object": "chat.completion", "choices": [choice], **_usage(answer)}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": part} for part in answer.parts()),
    ]
    deltas += _call_deltas(answer)
    if answer.refusal:
        deltas.append({"refusal": answer.refusal})
    chunks = [_chunk(head, delta, None) for delta in deltas] + [_chunk(head, {}, finish)]
    if call.body.get("stream_options", {}).get("include_usage") and answer.input_tokens is not None:
        chunks.append({**head, "object": "chat.completion.chunk", "choices": [], **_usage(answer)})
    return events(chunks, done=True)


def _chunk(head: dict[str, Any], delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def _usage(answer: Answer) -> dict[str, Any]:
    if answer.input_tokens is None or answer.output_tokens is None:
        return {}
    total = answer.input_tokens + answer.output_tokens
    counts = {"prompt_tokens": answer.input_tokens, "completion_tokens": answer.output_tokens, "total_tokens": total}
    return {"usage": counts}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{at}", "type": "function", "function": {"name": call["name"], "arguments": _arguments(call)}}
        for at, call in enumerate(answer.tool_calls)
    ]


def _call_deltas(answer: Answer) -> list[dict[str, Any]]:
    """Each call begins with its name, and its arguments come in two parts."""
    deltas: list[dict[str, Any]] = []
    for at, call in enumerate(_calls(answer)):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        first = {**call, "index": at, "function": {"name": call["function"]["name"], "arguments": arguments[:half]}}
        deltas.append({"tool_calls": [first]})
        deltas.append({"tool_calls": [{"index": at, "function": {"arguments": arguments[half:]}}]})
    return deltas


def _arguments(call: dict[str, Any]) -> str:
    arguments = call["arguments"]
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def images(answer: Answer, call: Received) -> dict[str, Any]:
    count = call.body.get("n", 1)
    made = [answer.pictures[at % len(answer.pictures)] for at in range(count)] if answer.pictures else []
    data = [{"b64_json": base64.b64encode(picture).decode()} for picture in made]
    if answer.text.startswith("http"):  # the server gives addresses instead
        data = [{"url": answer.text} for _ in made]
    usage: dict[str, Any] = {
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "total_tokens": 0,
    }
    usage["input_tokens_details"] = {"image_tokens": 0, "text_tokens": answer.input_tokens}
    return {"created": 1, "data": data, "usage": usage}


def embeddings(answer: Answer, call: Received) -> dict[str, Any]:
    texts = call.body["input"]
    vectors = [vector_of(text, call.body.get("dimensions")) for text in texts]
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    # Backwards, since the protocol promises no order.
    return {"object": "list", "model": call.model, "data": data[::-1], "usage": usage}
