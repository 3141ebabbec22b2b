from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from engine.activities.clients.ai.registry import GROUP, AiProviders, known_providers
from engine.activities.clients.ai.transport import ProviderHttp
from engine.errors import NodeError
from engine.nodes.outbound.addresses import HttpPolicy

HERE = "tests.engine.activities.clients.ai.test_registry"


class Parrot:
    """A provider as a package of its own would bring it."""

    name = "parrot"
    most_texts = 1

    def __init__(self, http: ProviderHttp) -> None:
        self.http = http


def open_parrot(http: ProviderHttp) -> Parrot:
    return Parrot(http)


def _providers(**added: str) -> AiProviders:
    points = {name: EntryPoint(name, value, GROUP) for name, value in added.items()}
    return AiProviders(HttpPolicy(), {**points, **known_providers()})


async def test_every_built_in_provider_can_be_opened_and_knows_its_name() -> None:
    providers = _providers()
    assert providers.names == ["gemini", "ollama", "openai", "openai_compatible"]
    for name in providers.names:
        assert (await providers.get(name)).name == name
    await providers.aclose()


async def test_an_entry_point_adds_a_provider_that_is_built_once() -> None:
    providers = _providers(parrot=f"{HERE}:open_parrot")
    first = await providers.get("parrot")
    assert isinstance(first, Parrot)
    assert await providers.get("parrot") is first
    await providers.aclose()


async def test_an_unknown_provider_is_named_with_those_there_are() -> None:
    providers = _providers()
    with pytest.raises(NodeError, match="'claude': known are gemini, ollama, openai, openai_compatible") as caught:
        await providers.get("claude")
    assert caught.value.code == "INVALID_CONFIG"
    await providers.aclose()


async def test_a_package_that_cannot_be_loaded_is_a_clear_error() -> None:
    providers = _providers(broken="no_such_package:open")
    with pytest.raises(NodeError, match="broken cannot be loaded: ModuleNotFoundError") as caught:
        await providers.get("broken")
    assert caught.value.code == "INVALID_CONFIG"
    await providers.aclose()


async def test_a_built_in_provider_cannot_be_replaced() -> None:
    providers = _providers(openai=f"{HERE}:open_parrot")
    assert (await providers.get("openai")).name == "openai"
    await providers.aclose()
