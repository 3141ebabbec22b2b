from __future__ import annotations

import httpx2
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_catalogue_that_the_client_has_is_not_sent_again(api: httpx2.AsyncClient) -> None:
    first = await api.get("/node-types")
    again = await api.get("/node-types", headers={"If-None-Match": first.headers["etag"]})
    other = await api.get("/node-types", headers={"If-None-Match": '"other"'})

    assert len(first.json()) > 10
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
