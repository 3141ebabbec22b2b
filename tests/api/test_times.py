from __future__ import annotations

import httpx2
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


LISTS = ("/workflows?updated_since=", "/executions?created_from=", "/usage?to=", "/audit?since=")


@pytest.mark.parametrize("url", LISTS)
async def test_a_bare_number_is_no_time(api: httpx2.AsyncClient, url: str) -> None:
    number, time = await api.get(f"{url}0.5"), await api.get(f"{url}2026-01-31T12:00:00Z")
    assert (number.status_code, time.status_code) == (422, 200)


async def test_allow_names_the_methods_of_all_routes_of_an_address(api: httpx2.AsyncClient) -> None:
    lists = await api.request("PATCH", "/folders")
    one = await api.request("POST", "/folders/0b0e4f52-8d5b-4b8f-9f0a-0d6f3a3b8a11")
    assert (lists.status_code, lists.headers["Allow"]) == (405, "GET, POST")
    assert (one.status_code, one.headers["Allow"]) == (405, "GET, DELETE, PATCH")
