"""AI nodes for which a budget has no room, and which people may let pass."""

from __future__ import annotations

import pytest

from tests.ai_server import AiServer, text
from tests.engine.workflows.asking import only, say, waits
from tests.engine.workflows.lab import Lab, graph, pure
from tests.engine.workflows.test_ai_nodes import add_model, ai_server, asking

__all__ = ["ai_server"]
pytestmark = pytest.mark.asyncio(loop_scope="session")
SMALL = {"budget": {"tokens": 1}}


async def test_node_over_a_budget_waits_and_runs_once_it_is_approved(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    ai_server.otherwise = text("hi")
    ask = asking("ask", params={"on_budget": "approve"})
    started = await lab.start(graph(ask, pure("after", "{{ nodes.ask.output.text }}"), settings=SMALL))
    (row,) = await waits(started)
    assert (row.node_path, row.approvers, row.quorum, row.allow_self) == ("ask", ["role:admin"], 1, True)
    assert "budget" in row.message
    assert await started.status_of("ask") == "waiting"
    assert ai_server.count() == 0
    assert await say(started, "boss", "approved")
    ended = await started.end()
    assert await ended.output() == {"after": "hi"}
    assert (ai_server.count(), ended.nodes["ask"].status, ended.nodes["ask"].error) == (1, "success", None)
    assert (await only(started)).status == "approved"


async def test_node_over_a_budget_fails_with_its_error_if_it_is_rejected(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    ask = asking("ask", params={"on_budget": "approve"})
    started = await lab.start(graph(ask, settings=SMALL))
    await waits(started)
    assert await say(started, "boss", "rejected")
    ended = await started.end()
    assert ended.status == "failed"
    error = ended.nodes["ask"].error
    assert error is not None
    assert (error["code"], error["details"]["limit"], ai_server.count()) == ("BUDGET_EXCEEDED", 1, 0)
    assert (await only(started)).status == "rejected"


async def test_cancel_ends_a_node_that_waits_over_a_budget(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    started = await lab.start(graph(asking("ask", params={"on_budget": "approve"}), settings=SMALL))
    await waits(started)
    await started.cancel()
    ended = await started.end()
    assert (ended.status, ended.states()) == ("cancelled", {"ask": "cancelled"})
    assert (await only(started)).status == "cancelled"
