"""The server itself: a real one on 127.0.0.1, in the loop of the test."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.ai_server import gemini_api, ollama_api, openai_api
from tests.ai_server.script import Answer, Received
from tests.ai_server.wire import Cut, Pieces

MOST_CALLS = 20_000


class AiServer:
    """Scripts by model, and the calls so far; `at_once` is how many are being answered, `most_at_once` the peak."""

    def __init__(self) -> None:
        self.calls: list[Received] = []
        self.otherwise = Answer()
        self.url = ""
        self.at_once = self.most_at_once = 0
        self.closing = asyncio.Event()
        self._arrived = asyncio.Event()
        self._scripts: dict[str, deque[Answer]] = defaultdict(deque)

    @property
    def openai_url(self) -> str:
        return f"{self.url}/openai/v1"

    @property
    def gemini_url(self) -> str:
        return f"{self.url}/gemini"

    @property
    def ollama_url(self) -> str:
        return f"{self.url}/ollama"

    def script(self, model: str, answers: Sequence[Answer]) -> None:
        """The next answers of a model, behind those that are still to come."""
        self._scripts[model].extend(answers)

    def count(self, model: str | None = None) -> int:
        return sum(model is None or call.model == model for call in self.calls)

    def last(self, model: str | None = None) -> Received:
        return [call for call in self.calls if model is None or call.model == model][-1]

    def forget(self) -> None:
        """Begin anew: no calls, no scripts."""
        self.calls.clear()
        self._scripts.clear()
        self.otherwise = Answer()
        self.most_at_once = self.at_once

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many calls have come in."""
        while len(self.calls) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self, call: Received) -> Answer:
        """Write a call down and give its answer, when it is time."""
        if len(self.calls) >= MOST_CALLS:
            return Answer(text="the test makes too many calls", status=500)
        self.calls.append(call)
        self._arrived.set()
        script = self._scripts[call.model]
        answer = script.popleft() if script else self.otherwise
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if answer.delay_s:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), answer.delay_s)
        finally:
            self.at_once -= 1
        return answer

    def app(self) -> Starlette:
        routes = [
            Route("/openai/v1/chat/completions", self._openai(openai_api.chat), methods=["POST"]),
            Route("/openai/v1/images/generations", self._openai(openai_api.images), methods=["POST"]),
            Route("/openai/v1/embeddings", self._openai(openai_api.embeddings), methods=["POST"]),
            Route("/openai/picture.png", self._picture, methods=["GET"]),
            Route("/gemini/{version}/models/{model}:{action}", self._gemini, methods=["POST"]),
            Route("/ollama/api/chat", self._ollama(ollama_api.chat), methods=["POST"]),
            Route("/ollama/api/embed", self._ollama(ollama_api.embed), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _openai(self, write: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            call = await _received(request, "openai")
            return _response(await self.take(call), call, write, openai_api.refusal)

        return endpoint

    async def _gemini(self, request: Request) -> Response:
        call = await _received(request, "gemini", request.path_params["model"])
        write = gemini_api.WRITERS[request.path_params["action"]]
        return _response(await self.take(call), call, write, gemini_api.refusal)

    def _ollama(self, write: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            call = await _received(request, "ollama")
            return _response(await self.take(call), call, write, ollama_api.refusal)

        return endpoint

    async def _picture(self, request: Request) -> Response:
        return Response(self.otherwise.pictures[0], media_type="image/png")


async def _received(request: Request, protocol: str, model: str | None = None) -> Received:
    body = await request.json()
    streamed = bool(body.get("stream")) or request.url.path.endswith(":streamGenerateContent")
    return Received(protocol, request.url.path, model or body["model"], body, dict(request.headers), streamed)


def _response(answer: Answer, call: Received, write: Any, refuse: Any) -> Response:
    if answer.status > 299:
        return JSONResponse(refuse(answer), status_code=answer.status, headers=dict(answer.headers))
    if answer.raw is not None:
        return Response(answer.raw, media_type="text/event-stream" if call.streamed else "application/json")
    written = write(answer, call)
    if isinstance(written, Pieces):
        return written.response(cut=answer.cut)
    return Cut(written) if answer.cut else JSONResponse(written, headers=dict(answer.headers))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Any:
        yield  # signals are the test run's


@asynccontextmanager
async def running_ai_server() -> AsyncGenerator[AiServer]:
    """A server on a free port of 127.0.0.1, stopped at the end."""
    server = AiServer()
    listener = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(server.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    running = _Server(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield server
    finally:
        server.closing.set()
        running.should_exit = True
        await task
        listener.close()
