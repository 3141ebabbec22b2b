"""The providers there are: built-in ones, and those that installed packages add by an entry point.

An entry point of the group `structforge.ai_providers` names a function from `ProviderHttp` to a `Provider`; its own
name is what a model's row says under `provider`. Built-in providers are registered the same way, in code. A provider is
loaded when it is first asked for, since vendors' SDKs take half a second each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from engine.activities.clients.ai.transport import ProviderHttp
from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.generation.port import Provider
from engine.nodes.outbound.addresses import HttpPolicy

GROUP = "structforge.ai_providers"
ProviderFactory = Callable[[ProviderHttp], Provider]
_HERE = "engine.activities.clients.ai"
_BUILT_IN = {
    "openai": f"{_HERE}.openai:open_openai",
    "openai_compatible": f"{_HERE}.openai:open_compatible",
    "gemini": f"{_HERE}.gemini:open_gemini",
    "ollama": f"{_HERE}.ollama:open_ollama",
}


def known_providers() -> dict[str, EntryPoint]:
    """Every provider by name, not loaded. A built-in one cannot be replaced."""
    added = {point.name: point for point in entry_points(group=GROUP)}
    return {**added, **{name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}}


class AiProviders:
    """The providers of one process, built as they are asked for and closed with it."""

    def __init__(self, policy: HttpPolicy, known: Mapping[str, EntryPoint] | None = None) -> None:
        self._http = ProviderHttp(policy)
        self._known = dict(known_providers() if known is None else known)
        self._open: dict[str, Provider] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self._known)

    async def get(self, name: str) -> Provider:
        """The provider of that name.

        Raises: NodeError INVALID_CONFIG if there is none, or its package cannot be loaded.
        """
        found = self._open.get(name)
        if found is None:
            factory = await asyncio.to_thread(self._load, name)
            found = self._open.setdefault(name, factory(self._http))
        return found

    def _load(self, name: str) -> ProviderFactory:
        point = self._known.get(name)
        if point is None:
            message = f"there is no AI provider {name!r}: known are {', '.join(self.names)}"
            raise NodeError(message, code=INVALID_CONFIG)
        try:
            return point.load()
        except Exception as error:
            message = f"the AI provider {name} cannot be loaded: {type(error).__name__}: {error}"
            raise NodeError(message[:500], code=INVALID_CONFIG) from error

    async def aclose(self) -> None:
        await self._http.aclose()
