"""URLs that lead inside: asked for directly, reached by a redirect, and by names that change their address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from engine.errors import BLOCKED_ADDRESS, EXTERNAL_ERROR, INVALID_CONFIG, NodeError
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.outbound.transport import resolve_name
from engine.nodes.ports import HttpRequest, HttpResponse
from tests.engine.nodes.integration.loopback import Call, Server, answer, serving
from tests.security.corpora import texts

ALL = texts("urls.txt")
AT_ONCE = 16


def request(url: str, **more: object) -> HttpRequest:
    return HttpRequest(method="GET", url=url, timeout_s=20, idempotent=True, **more)  # pyright: ignore[reportArgumentType]


async def fine(call: Call) -> bytes:
    return answer(200, b"inside")


def test_corpus_is_large_enough() -> None:
    assert len(ALL) >= 80


async def attempts(send: Callable[[str], object], urls: list[str]) -> dict[str, HttpResponse | NodeError]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(url: str) -> HttpResponse | NodeError:
        async with places:
            try:
                return await send(url)  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
            except NodeError as error:
                return error

    return dict(zip(urls, await asyncio.gather(*map(one, urls)), strict=True))


def let_through(found: dict[str, HttpResponse | NodeError]) -> dict[str, object]:
    """Those that were neither refused nor names that nobody has here."""
    return {url: one for url, one in found.items() if not (isinstance(one, NodeError) and _is_refusal(one))}


def _is_refusal(error: NodeError) -> bool:
    unresolved = error.code == EXTERNAL_ERROR and "does not resolve" in error.message
    return error.code in (BLOCKED_ADDRESS, INVALID_CONFIG) or unresolved


async def test_no_url_of_the_corpus_leads_inside() -> None:
    async with serving(fine) as inside, HttpClient(HttpPolicy()) as client:
        urls = [url.replace("PORT", str(inside.port)) for url in ALL]
        found = await attempts(lambda url: client.send(request(url)), urls)
    assert inside.calls == []
    assert let_through(found) == {}


async def test_no_redirect_leads_to_a_url_of_the_corpus() -> None:
    """A server that an operator has allowed sends its callers inside, on another port and other addresses."""
    async with serving(fine) as inside:
        urls = [url.replace("PORT", str(inside.port)) for url in ALL]

        async def send_on(call: Call) -> bytes:
            number = call.target.removeprefix("/start/")
            if not number.isdecimal():
                return answer(404)  # what is relative leads back to here
            return answer(307, location=urls[int(number)].encode("utf-8").decode("latin-1"))

        async with serving(send_on) as outside:
            gate = f"gate.example:{outside.port}"

            async def resolve(host: str, port: int) -> list[str]:
                # Only the gate is let through, by its name; what it names is asked of the system.
                return ["127.0.0.1"] if host == "gate.example" else await resolve_name(host, port)

            async with HttpClient(HttpPolicy(allowed_hosts=["gate.example"]), resolve=resolve) as client:
                starts = [f"http://{gate}/start/{number}" for number in range(len(urls))]
                found = await attempts(lambda url: client.send(request(url, max_redirects=3)), starts)
            assert len(outside.calls) >= len(urls)
        assert inside.calls == []
        through = {urls[int(start.rpartition("/")[2])]: one for start, one in let_through(found).items()}
        assert {url: one for url, one in through.items() if not _is_of_the_gate(one)} == {}


def _is_of_the_gate(one: object) -> bool:
    if isinstance(one, NodeError):
        return one.message == "gate.example: more than 3 redirects"
    return isinstance(one, HttpResponse) and one.url.startswith("http://gate.example")


class Names:
    """A name server whose answers change: each question takes the next, the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def refused_by(names: Names, server: Server, *, times: int = 1) -> list[str]:
    """Codes of the failures of so many requests to one name."""
    codes: list[str] = []
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1/32"]), resolve=names) as client:
        for _ in range(times):
            try:
                await client.send(request(f"http://rebinding.example:{server.port}/"))
                codes.append("")
            except NodeError as error:
                codes.append(error.code)
    return codes


async def closing(call: Call) -> bytes:
    return answer(200, b"", connection="close")


async def test_a_name_is_checked_each_time_it_is_connected_to() -> None:
    async with serving(closing) as server:
        names = Names(["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["127.0.0.1"])
        codes = await refused_by(names, server, times=6)
    assert codes == ["", *[BLOCKED_ADDRESS] * 4, ""]
    assert names.asked == 6


async def test_a_second_answer_of_the_name_server_changes_nothing() -> None:
    async with serving(fine) as server:
        names = Names(["127.0.0.1"], ["10.0.0.1"])
        assert await refused_by(names, server) == [""]
    assert names.asked == 1, "between the check and the connection nobody is asked again"


async def test_of_several_addresses_only_those_that_are_permitted_are_tried() -> None:
    async with serving(fine) as server:
        assert await refused_by(Names(["10.0.0.1", "::1", "127.0.0.2", "127.0.0.1"]), server) == [""]
        assert await refused_by(Names(["10.0.0.1", "::1", "fe80::1%lo", "127.0.0.2"]), server) == [BLOCKED_ADDRESS]


async def test_redirect_to_a_name_that_now_means_something_else_is_refused() -> None:
    async def again(call: Call) -> bytes:
        return answer(302, location=f"http://{quote('rebinding.example')}:{port}/again", connection="close")

    async with serving(again) as server:
        port = server.port
        assert await refused_by(Names(["127.0.0.1"], ["127.0.0.9"]), server) == [BLOCKED_ADDRESS]
        assert len(server.calls) == 1
