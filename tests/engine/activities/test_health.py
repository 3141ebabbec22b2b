from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.activities.health import serving_health
from engine.activities.readiness import PATIENCE_S, Dependencies
from engine.errors import ConfigurationError, SystemFault
from engine.settings.observability import HealthSettings

ANY_PORT = HealthSettings(port=0)


def _get(url: str) -> tuple[int, dict[str, Any]]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


async def _answers() -> None:
    pass


async def _is_away() -> None:
    raise SystemFault("away")


async def _hangs() -> None:
    await asyncio.sleep(3600)


async def test_a_process_that_has_everything_is_ready() -> None:
    parts = Dependencies({"postgresql": _answers}, {"redis": _answers})
    async with serving_health(ANY_PORT, parts) as url:
        live = await asyncio.to_thread(_get, f"{url}/healthz")
        ready = await asyncio.to_thread(_get, f"{url}/readyz")
        unknown = await asyncio.to_thread(_get, f"{url}/other")
    assert live == (200, {"status": "ok"})
    assert ready == (200, {"ready": True, "missing": [], "degraded": []})
    assert unknown[0] == 404


async def test_what_is_away_or_hangs_is_named_and_the_process_lives_on() -> None:
    required = {"postgresql": _answers, "temporal": _is_away, "object_store": _hangs}
    began = time.monotonic()
    async with serving_health(ANY_PORT, Dependencies(required, {"redis": _is_away})) as url:
        ready = await asyncio.to_thread(_get, f"{url}/readyz")
        live = await asyncio.to_thread(_get, f"{url}/healthz")
    assert ready == (503, {"ready": False, "missing": ["temporal", "object_store"], "degraded": ["redis"]})
    assert live[0] == 200
    assert time.monotonic() - began < 20 * PATIENCE_S


async def test_nobody_can_tell_of_the_schema_while_postgresql_is_away() -> None:
    found = await Dependencies({"postgresql": _is_away, "schema": _is_away}, {}).look()
    assert (found.ready, found.missing) == (False, ["postgresql"])
    assert (await Dependencies({"postgresql": _answers, "schema": _is_away}, {}).look()).missing == ["schema"]


async def test_a_loop_that_stands_still_is_told_of() -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        async with serving_health(ANY_PORT, Dependencies({}, {})) as url:
            # Waited for without letting the loop turn.
            assert elsewhere.submit(_get, f"{url}/healthz").result(60) == (503, {"status": "stuck"})


async def test_without_a_port_nothing_is_served_and_a_taken_one_is_an_error() -> None:
    async with serving_health(HealthSettings(), Dependencies({}, {})) as nowhere:
        assert nowhere is None
    async with serving_health(ANY_PORT, Dependencies({}, {})) as url:
        taken = HealthSettings(port=int((url or "").rpartition(":")[2]))
        with pytest.raises(ConfigurationError, match="STRUCTFORGE_HEALTH__PORT"):
            async with serving_health(taken, Dependencies({}, {})):
                pass
