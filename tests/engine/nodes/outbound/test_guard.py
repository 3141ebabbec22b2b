"""URLs that must not lead inside, sent through the real client and its real resolution of names."""

from __future__ import annotations

import pytest

from engine.errors import NodeError
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.outbound.transport import GuardedBackend
from engine.nodes.ports import HttpRequest
from tests.engine.nodes.integration.loopback import Call, answer, serving

HOSTS = """
127.0.0.1 127.1 127.0.1 0 0.0.0.0 0x7f000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 017700000001 2130706433 127.0.0.1. localhost
LOCALHOST localhost. 127.255.255.255 127.0.0.2 [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1]
[::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::169.254.169.254] [2002:7f00:1::] [2001:0:7f00:1::] [fe80::1]
[fc00::1] [fd00:ec2::254] [ff02::1] [100::1] [2001:db8::1] 10.0.0.1 10.1 0xa000001 167772161 172.16.0.1 172.31.255.255
192.168.0.1 192.168.1 0xc0a80001 169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 169.254.170.2
[::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
100.64.0.1 100.100.100.200 192.0.0.192 168.63.129.16 198.18.0.1 224.0.0.1 255.255.255.255 240.0.0.1
①②⑦.⓪.⓪.① １２７.０.０.１ ⓛocalhost 127。0。0。1 ｌｏｃａｌｈｏｓｔ
""".split()  # noqa: SIM905  # reads better than sixty quoted words
ODD_URLS = [
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/",
    "//127.0.0.1/",
    "127.0.0.1",
    "http:127.0.0.1",
    "http:///127.0.0.1",
    "http://",
    "http://user:pass@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1?@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1 .example.com/",
    "http://exa\nmple.com/",
    "http://127.0.0.1%00.example.com/",
    "http://127.0.0.1%2f.example.com/",
    "http://127%2e0%2e0%2e1/",
    "http://[::1%25lo]/",
    "http://[::1/",
    "http://127.0.0.1:99999/",
    "javascript:alert(1)",
    "data:text/plain,hello",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "jar:http://127.0.0.1!/",
    "http://" + "a" * 20_000,
]


async def attempt(url: str, policy: HttpPolicy | None = None) -> NodeError:
    async with HttpClient(policy or HttpPolicy()) as client:
        with pytest.raises(NodeError) as caught:
            await client.send(HttpRequest(method="GET", url=url, timeout_s=5, idempotent=True))
        return caught.value


def test_corpus_is_large_enough() -> None:
    assert len(set(HOSTS)) + len(set(ODD_URLS)) >= 80


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_an_internal_host_is_connected_to(host: str) -> None:
    reached = False

    async def note(call: Call) -> bytes:
        nonlocal reached
        reached = True
        return answer()

    async with serving(note) as server:
        error = await attempt(f"http://{host}:{server.port}/")
    assert not reached
    # A name that does not resolve here is as good as one that is refused.
    unresolved = error.code == "EXTERNAL_ERROR" and "does not resolve" in error.message
    assert error.code in ("BLOCKED_ADDRESS", "INVALID_CONFIG") or unresolved


@pytest.mark.parametrize("url", ODD_URLS)
async def test_no_odd_url_is_sent(url: str) -> None:
    error = await attempt(url)
    unresolved = error.code == "EXTERNAL_ERROR" and "does not resolve" in error.message
    assert error.code in ("BLOCKED_ADDRESS", "INVALID_CONFIG") or unresolved


class _Names:
    """A name server whose answer changes with every question."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(self, host: str, port: int) -> list[str]:
        return self._answers.pop(0)


async def test_name_is_asked_for_once_and_its_checked_address_is_connected_to() -> None:
    async def hello(call: Call) -> bytes:
        return answer()

    async with serving(hello) as server:
        names = _Names(["127.0.0.1"], ["10.0.0.1"])
        backend = GuardedBackend(HttpPolicy(allowed_hosts=["127.0.0.0/8"]), names.resolve)
        stream = await backend.connect_tcp("rebinding.example", server.port, timeout=2)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()
        with pytest.raises(NodeError) as caught:
            await backend.connect_tcp("rebinding.example", server.port, timeout=2)
    assert caught.value.code == "BLOCKED_ADDRESS"


async def test_internal_addresses_among_public_ones_are_left_out() -> None:
    async def hello(call: Call) -> bytes:
        return answer()

    async with serving(hello) as server:
        names = _Names(["10.0.0.1", "127.0.0.2", "127.0.0.1"])
        backend = GuardedBackend(HttpPolicy(allowed_hosts=["127.0.0.1/32"]), names.resolve)
        stream = await backend.connect_tcp("mixed.example", server.port, timeout=2)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()


async def test_local_sockets_are_out_of_reach() -> None:
    with pytest.raises(NodeError) as caught:
        await GuardedBackend(HttpPolicy()).connect_unix_socket("/run/docker.sock")
    assert caught.value.code == "BLOCKED_ADDRESS"
