"""AI nodes through Temporal: budgets over parallel nodes, usage over attempts, text while it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from engine.activities.generation.estimates import estimate_of
from engine.nodes.generation.port import GenerationRequest, Message
from models.repositories.ai_budgets import AiBudgets
from models.repositories.ai_models import AiModels, ModelFields
from models.repositories.ai_usage import AiUsage, Sums
from tests.ai_server import AiServer, refused, running_ai_server, text
from tests.engine.workflows.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAX_TOKENS = 40


@pytest_asyncio.fixture(loop_scope="session")
async def ai_server() -> AsyncIterator[AiServer]:
    async with running_ai_server() as running:
        yield running


async def add_model(lab: Lab, server: AiServer, name: str, **more: Any) -> ModelFields:
    known: dict[str, Any] = {"price_input": Decimal(1), "price_output": Decimal(2), **more}
    fields = ModelFields(name=name, provider="openai_compatible", model=name, base_url=server.openai_url, **known)
    await AiModels(lab.stack.runtime.database).create(lab.tenant, fields)
    return fields


def asking(node: str, model: str = "writer", **more: Any) -> dict[str, Any]:
    params = {"model": model, "prompt": "hello", "max_tokens": MAX_TOKENS, **more.pop("params", {})}
    return {"id": node, "type": "text_generation", "params": params, **more}


def fan(count: int, **more: Any) -> dict[str, Any]:
    """As many parallel AI nodes; those that are refused do not fail the execution."""
    nodes = [asking(f"ask{number}", on_error="continue") for number in range(count)]
    return {"nodes": nodes, **more}


def most_of(model: ModelFields) -> Any:
    request = GenerationRequest(messages=[Message("user", ("hello",))], max_tokens=MAX_TOKENS)
    return estimate_of(request, model, 1)


@pytest.mark.parametrize("scope", ["execution", "tenant"])
async def test_twenty_parallel_nodes_against_a_budget_for_twelve_make_exactly_twelve_calls(
    lab: Lab, ai_server: AiServer, scope: str
) -> None:
    most = most_of(await add_model(lab, ai_server, "writer"))
    ai_server.otherwise = text("hi", input_tokens=most.input_tokens, output_tokens=most.output_tokens)
    document = fan(20)
    if scope == "execution":
        document["settings"] = {"budget": {"tokens": 12 * most.tokens}}
    else:
        await AiBudgets(lab.stack.runtime.database).create(lab.tenant, None, "day", tokens=12 * most.tokens, cost=None)
    ended = await (await lab.start(document)).end()
    assert ended.status == "success", ended.error
    states = [row.status for path, row in ended.nodes.items() if path.startswith("ask")]
    assert (states.count("success"), states.count("failed")) == (12, 8)
    assert ai_server.count() == 12
    errors = [row.error for row in ended.nodes.values() if row.error is not None]
    assert {(error["code"], error["retryable"], error["details"]["limit"]) for error in errors} == {
        ("BUDGET_EXCEEDED", False, 12 * most.tokens)
    }
    used = await AiUsage(lab.stack.runtime.database).of_execution(lab.tenant, ended.row.id)
    assert sum((node.sums for node in used), Sums()) == Sums(
        12, 0, 12 * most.input_tokens, 12 * most.output_tokens, 0, 12 * most.cost
    )


async def test_called_workflows_draw_on_the_budgets_of_all_that_called_them(lab: Lab, ai_server: AiServer) -> None:
    """A budget for four calls: one of the outermost, three of the five below two calls; its own budget allows five."""
    most = most_of(await add_model(lab, ai_server, "writer"))
    ai_server.otherwise = text("hi", input_tokens=most.input_tokens, output_tokens=most.output_tokens)
    calls = [
        {**fan(5, settings={"budget": {"tokens": 5 * most.tokens}}), "name": f"inner-{lab.tenant}"},
        {"nodes": [_calling(f"inner-{lab.tenant}")], "name": f"middle-{lab.tenant}"},
    ]
    for document in calls:
        await lab.save(document)
    outer = [asking("first"), _calling(f"middle-{lab.tenant}")]
    edges = [{"source": "first", "target": "call"}]
    ended = await lab.run({"nodes": outer, "edges": edges, "settings": {"budget": {"tokens": 4 * most.tokens}}})
    assert ended.status == "success", ended.error
    assert ai_server.count() == 4
    inner = (await ended.output())["call"]["outputs"]["call"]["outputs"]
    refused_calls = [answer["error"] for answer in inner.values() if "error" in answer]
    assert [error["code"] for error in refused_calls] == ["BUDGET_EXCEEDED"] * 2
    assert {error["details"]["key"] for error in refused_calls} == {str(ended.row.id)}
    assert "the execution that called this one" in refused_calls[0]["message"]


def _calling(workflow: str) -> dict[str, Any]:
    return {"id": "call", "type": "workflow", "params": {"workflow": workflow}}


async def test_attempts_and_answers_asked_for_again_add_up(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tries = [  # first attempt: an invalid answer, then a fault; second attempt: an invalid answer, then a good one
        text("nonsense", input_tokens=10, output_tokens=1),
        refused(503),
        text('{"n": "x"}', input_tokens=20, output_tokens=2),
        text('{"n": 1}', input_tokens=40, output_tokens=4),
    ]
    ai_server.script("writer", tries)
    retry = {"strategy": "fixed", "interval": "10ms", "max_attempts": 2}
    node = asking("ask", params={"response_schema": schema}, retry=retry)
    after = {"id": "after", "type": "transform", "params": {"mapping": {"n": "{{ nodes.ask.output.data.n + 1 }}"}}}
    ended = await (
        await lab.start(
            {
                "nodes": [node, after],
                "edges": [{"source": "ask", "target": "after"}],
            }
        )
    ).end()
    assert ended.status == "success"
    assert await ended.output_of("after") == {"n": 2}
    assert ended.nodes["ask"].attempts == 2
    [used] = await AiUsage(lab.stack.runtime.database).of_execution(lab.tenant, ended.row.id)
    assert used.key == ("ask", (), 0)
    assert used.sums == Sums(3, 1, 70, 7, 0, Decimal("0.000084"))  # 70 / 1e6 * 1 + 7 / 1e6 * 2


async def test_waiting_time_of_the_provider_delays_the_next_attempt(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    ai_server.script("writer", [refused(429, retry_after="1")])
    retry = {"strategy": "fixed", "interval": "1ms", "max_attempts": 2}
    nodes = [asking("ask", retry=retry)]
    started = await lab.start({"nodes": nodes})
    ended = await started.end()
    assert (ended.status, ended.nodes["ask"].attempts, ai_server.count()) == ("success", 2, 2)
    assert ended.row.duration_ms is not None
    assert ended.row.duration_ms >= 1000


async def test_text_is_shown_while_it_comes(lab: Lab, ai_server: AiServer) -> None:
    await add_model(lab, ai_server, "writer")
    whole = "The quick brown fox jumps over the lazy dog. " * 200
    ai_server.script("writer", [text(whole, pieces=300)])
    nodes = [asking("ask", params={"max_tokens": 5000})]
    ended = await (await lab.start({"nodes": nodes})).end()
    assert (await ended.output_of("ask"))["text"] == whole
    live, url = lab.stack.runtime.live, lab.stack.settings.redis.url
    assert live is not None
    assert url is not None
    await live.drain()
    redis = Redis.from_url(url.get_secret_value(), decode_responses=True)
    events: list[Any] = await redis.xrange(f"sf:{lab.tenant}:events")
    await redis.aclose()
    partials = [event for _, event in events if "partial" in event]
    assert 1 <= len(partials) < 60, "300 pieces in far fewer events"
    for event in partials:
        assert (event["execution"], event["node"], event["attempt"]) == (str(ended.row.id), "ask", "1")
        assert whole[int(event["offset"]) :].startswith(event["partial"])
        assert len(event["partial"]) <= 4000
    last = partials[-1]
    assert int(last["offset"]) + len(last["partial"]) <= len(whole)
