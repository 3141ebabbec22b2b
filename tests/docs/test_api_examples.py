"""docs/api.md does what it says: its examples run, in order, against the API."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import httpx2
import pytest

from engine.settings import Settings
from tests.api.live import LiveApi, live_api
from tests.docs.pages import DOCS

PAGE = (DOCS / "api.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(http|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REQUEST = re.compile(
    r"(?P<method>[A-Z]+) (?P<path>\S+)\n(?P<headers>(?:[\w-]+: [^\n]+\n)*)\n?(?P<body>.*?)-> (?P<status>\d+)\n",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def live(engine_servers: Settings) -> Generator[LiveApi]:
    with live_api(engine_servers.override({"worker": {"task_queue": "api-page"}})) as served:
        yield served


def test_every_example_of_the_page_runs(live: LiveApi) -> None:
    api_key = live.fresh_key()
    names: dict[str, Any] = {"api_key": api_key}
    kinds: list[str] = []
    for kind, text in _BLOCK.findall(PAGE):
        kinds.append(kind)
        if kind == "http":
            _send(live.url, api_key, text)
        else:
            exec(compile(text.replace("http://127.0.0.1:8400", live.url), "docs/api.md", "exec"), names)
    names["client"].close()

    assert kinds.count("python") >= 12
    assert kinds.count("http") >= 4


def test_the_page_and_the_document_say_the_same_addresses() -> None:
    from tests.docs.pages import generator

    served = generator().openapi()["paths"]
    for text in (text for kind, text in _BLOCK.findall(PAGE) if kind == "http"):
        method, path = text.split()[:2]
        assert any(
            re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item
            for template, item in served.items()
        ), text


def _send(url: str, api_key: str, text: str) -> None:
    request = _REQUEST.fullmatch(text)
    assert request is not None, text
    headers = {"Authorization": f"Bearer {api_key}"}
    headers |= dict(line.split(": ", 1) for line in request["headers"].splitlines())
    answer = httpx2.request(
        request["method"], url + request["path"], headers=headers, content=request["body"].encode(), trust_env=False
    )
    assert answer.status_code == int(request["status"]), answer.text
