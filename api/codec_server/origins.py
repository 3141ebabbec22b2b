"""Which pages of other origins may ask the codec server: those of the Temporal Web UI, and no other route."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.settings import Settings

HEADERS = ("Authorization", "Content-Type", "X-API-Key", "X-Namespace")


class CodecOrigins:
    """Answers browsers of the origins that the settings name; for all other paths nothing changes."""

    def __init__(self, app: ASGIApp, prefix: str, settings: Settings) -> None:
        self._app = app
        self._path = f"{prefix}/codec/"
        self._shared = CORSMiddleware(
            app, allow_origins=ui_origins(settings), allow_methods=("POST",), allow_headers=HEADERS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        codec = scope["type"] == "http" and str(scope["path"]).startswith(self._path)
        await (self._shared if codec else self._app)(scope, receive, send)


def ui_origins(settings: Settings) -> list[str]:
    """The origins of `codec.ui_origins`, else that of `temporal.ui_url`, on this machine by both of its names."""
    if settings.codec.ui_origins or settings.temporal.ui_url is None:
        return list(settings.codec.ui_origins)
    parts = urlsplit(settings.temporal.ui_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return [origin, origin.replace("127.0.0.1", "localhost")] if parts.hostname == "127.0.0.1" else [origin]
