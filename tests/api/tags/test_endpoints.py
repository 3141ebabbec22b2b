from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest

from tests.api.workflows.test_lifecycle import create

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_tags_are_counted_and_found_by_their_beginning(
    api: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    begin = uuid4().hex[:8]
    for tags in ([f"{begin}-a", f"{begin}-b"], [f"{begin}-a"]):
        await api.patch(f"/workflows/{(await create(api))['id']}", json={"tags": tags})
    found = (await api.get(f"/tags?prefix={begin.upper()}")).json()

    assert found == [{"tag": f"{begin}-a", "workflows": 2}, {"tag": f"{begin}-b", "workflows": 1}]
    assert (await stranger.get(f"/tags?prefix={begin}")).json() == []
