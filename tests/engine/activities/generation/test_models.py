"""The model port: what a call books, what it is refused for, and where it goes instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.activities.generation.estimates import estimate_of
from engine.activities.generation.models import Models
from engine.errors import (
    ACCESS_DENIED,
    BLOCKED_ADDRESS,
    BUDGET_EXCEEDED,
    EXTERNAL_ERROR,
    INVALID_CONFIG,
    RATE_LIMITED,
    NodeError,
)
from engine.nodes.generation.port import EmbeddingRequest, GenerationRequest, ImageRequest, Message
from models.migrations import upgrade
from models.repositories.ai_budgets import AiBudgets
from models.session import Database
from tests.ai_server import dropped, refused, slow, text
from tests.engine.activities.generation.conftest import Bench
from tests.models.server import PostgresServer


def prompt(words: str = "hello", **more: Any) -> GenerationRequest:
    return GenerationRequest(messages=[Message("user", (words,))], **{"timeout_s": 20.0, **more})


async def error_of(awaitable: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await awaitable
    return caught.value


def write(file: Path, models: str) -> None:
    file.write_text(models)


async def called(bench: Bench) -> None:
    """Return once the server has a call."""
    async with asyncio.timeout(30):
        while True:
            if bench.server.count():
                return
            await asyncio.sleep(0.01)


async def test_answer_is_priced_and_booked_under_the_names_of_the_row(bench: Bench) -> None:
    await bench.add("writer", model="provider-name")
    bench.server.script("provider-name", [text("hi", input_tokens=1000, output_tokens=500)])
    call = bench.call("writer", iteration=(2, 1), generation=3, attempt=4, ask=1)
    answer = await bench.models.generate(call, prompt())
    assert (answer.text, answer.model, answer.provider) == ("hi", "writer", "openai")
    assert answer.usage.cost == Decimal("0.002")  # 1000 / 1e6 * 1 + 500 / 1e6 * 2
    [row] = await bench.rows()
    expected = {
        "status": "settled", "input_tokens": 1000, "output_tokens": 500, "cost": Decimal("0.002"), "model": "writer",
        "provider": "openai", "node_path": call.node_path, "iteration": [2, 1], "generation": 3, "attempt": 4, "ask": 1,
        "execution_id": bench.execution, "workflow_id": bench.workflow, "images": 0, "error_code": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


async def test_pictures_and_embeddings_are_priced_too(bench: Bench) -> None:
    await bench.add("any", price_image=Decimal("0.04"))
    images = await bench.models.images(bench.call("any"), ImageRequest(prompt="a cat"))
    vectors = await bench.models.embed(bench.call("any"), EmbeddingRequest(texts=["a", "b"]))
    assert images.usage.cost is not None
    assert images.usage.cost >= Decimal("0.04")
    assert len(vectors.vectors) == 2
    assert [(row["images"], row["status"]) for row in await bench.rows()] == [(1, "settled"), (0, "settled")]


async def test_defaults_and_options_of_the_row_fill_what_a_request_leaves_open(bench: Bench) -> None:
    await bench.add("writer", defaults={"temperature": 0.3, "max_tokens": 77, "options": {"store": False}})
    await bench.models.generate(bench.call("writer"), prompt(temperature=0.9))
    body = bench.server.last("writer").body
    assert (body["temperature"], body["store"]) == (0.9, False)
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_nodes_own_credential_goes_before_the_rows(bench: Bench) -> None:
    await bench.add("writer")
    await bench.models.generate(bench.call("writer"), prompt())
    assert bench.server.last().headers["authorization"] == "Bearer key-of-the-row"
    own = {"type": "bearer", "token": "key-of-the-node"}
    await bench.models.generate(bench.call("writer", credential=own), prompt())
    assert bench.server.last().headers["authorization"] == "Bearer key-of-the-node"


async def test_models_that_cannot_be_called_are_named_with_those_that_can(bench: Bench) -> None:
    await bench.add("writer")
    await bench.add("off", enabled=False)
    await bench.add("lost", credential="nothing")
    await bench.add("odd", provider="nobody")
    error = await error_of(bench.models.generate(bench.call("writter"), prompt()))
    assert (error.code, error.retryable) == (INVALID_CONFIG, False)
    assert "writer" in error.message
    assert error.details["known"] == ["lost", "odd", "writer"]
    assert (await error_of(bench.models.generate(bench.call("off"), prompt()))).code == INVALID_CONFIG
    assert (await error_of(bench.models.generate(bench.call("lost"), prompt()))).code == ACCESS_DENIED
    assert (await error_of(bench.models.generate(bench.call("odd"), prompt()))).code == INVALID_CONFIG
    assert bench.server.count() == 0
    assert await bench.rows() == []


# ---- budgets


async def test_twenty_parallel_calls_of_two_workers_against_money_for_twelve_make_exactly_twelve(bench: Bench) -> None:
    await bench.add("painter", price_input=None, price_output=None)
    budget = {"tokens": None, "cost": 12.0}
    calls = [
        bench.workers[n % 2].images(bench.call("painter", budget=budget), ImageRequest(prompt="a")) for n in range(20)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert bench.server.count() == 12
    errors = [answer for answer in answers if isinstance(answer, NodeError)]
    assert [(error.code, error.retryable) for error in errors] == [(BUDGET_EXCEEDED, False)] * 8
    assert sum(row["cost"] for row in await bench.rows()) == 12


async def test_twenty_parallel_calls_against_tokens_for_twelve_make_exactly_twelve(bench: Bench) -> None:
    model = await bench.add("writer")
    request = prompt(max_tokens=50)
    most = estimate_of(request, model, 1)
    bench.server.otherwise = text("x", input_tokens=most.input_tokens, output_tokens=most.output_tokens)
    await AiBudgets(bench.database).create(bench.tenant, None, "month", tokens=13 * most.tokens - 1, cost=None)
    answers = await asyncio.gather(
        *(bench.workers[n % 2].generate(bench.call("writer"), request) for n in range(20)), return_exceptions=True
    )
    assert bench.server.count() == 12
    refusal = next(answer for answer in answers if isinstance(answer, NodeError))
    assert refusal.details["scope"] == "tenant"
    assert (refusal.details["limit"], refusal.details["asked"]) == (13 * most.tokens - 1, most.tokens)
    assert refusal.details["used"] + refusal.details["reserved"] == 12 * most.tokens
    assert refusal.details["frees_at"] > "2026"
    assert "awaits" not in refusal.details


async def test_unused_room_of_a_call_is_free_for_the_next(bench: Bench) -> None:
    model = await bench.add("writer")
    most = estimate_of(prompt(max_tokens=1000), model, 1).tokens
    budget = {"tokens": most + 40, "cost": None}
    for _ in range(4):  # each uses 10, and asks for all but what four have used
        await bench.models.generate(bench.call("writer", budget=budget), prompt(max_tokens=1000))
    await bench.models.generate(bench.call("writer", budget=budget), prompt(max_tokens=1000))
    error = await error_of(bench.models.generate(bench.call("writer", budget=budget), prompt(max_tokens=1000)))
    assert (error.details["used"], error.details["scope"]) == (50, "execution")
    assert bench.server.count() == 5


async def test_answer_is_bounded_where_a_budget_applies_and_left_alone_elsewhere(bench: Bench) -> None:
    await bench.add("writer")
    await bench.models.generate(bench.call("writer"), prompt())
    free = bench.server.last().body
    await bench.models.generate(bench.call("writer", budget={"tokens": 100_000, "cost": None}), prompt())
    held = bench.server.last().body
    assert {"max_tokens", "max_completion_tokens"} & free.keys() == set()
    assert 4096 in (held.get("max_tokens"), held.get("max_completion_tokens"))


async def test_no_budget_goes_to_the_first_fallback_for_which_there_is_room(bench: Bench) -> None:
    await bench.add("large", price_output=Decimal(1000), fallback=["gone", "off", "middle", "small"])
    await bench.add("off", enabled=False)
    await bench.add("middle", price_output=Decimal(500))
    await bench.add("small")
    budget = {"tokens": None, "cost": 0.01}  # 100 tokens of large cost 0.1, of middle 0.05, of small 0.0002
    answer = await bench.models.generate(
        bench.call("large", budget=budget, on_budget="fallback"), prompt(max_tokens=100)
    )
    assert answer.model == "small"
    assert [row["model"] for row in await bench.rows()] == ["small"]
    error = await error_of(bench.models.generate(bench.call("large", budget=budget), prompt(max_tokens=100)))
    assert error.code == BUDGET_EXCEEDED
    nothing = {"tokens": 1, "cost": None}
    error = await error_of(
        bench.models.generate(bench.call("large", budget=nothing, on_budget="fallback"), prompt(max_tokens=100))
    )
    assert error.code == BUDGET_EXCEEDED
    assert error.details["fallbacks"] == ["middle", "small"]
    assert bench.server.count() == 1


async def test_call_that_awaits_approval_says_so_and_passes_once_it_is_approved(bench: Bench) -> None:
    await bench.add("writer")
    call = {"budget": {"tokens": 1, "cost": None}, "on_budget": "approve"}
    error = await error_of(bench.models.generate(bench.call("writer", **call), prompt()))
    assert (error.code, error.details["awaits"]) == (BUDGET_EXCEEDED, "approval")
    answer = await bench.models.generate(bench.call("writer", **call, budget_approved=True), prompt())
    assert answer.text == "ok"
    assert [row["status"] for row in await bench.rows()] == ["settled"]


async def test_budget_in_money_needs_a_price(bench: Bench) -> None:
    await bench.add("unpriced", price_input=None, price_output=None)
    budget = {"tokens": None, "cost": 1.0}
    error = await error_of(bench.models.generate(bench.call("unpriced", budget=budget), prompt()))
    assert (error.code, bench.server.count()) == (INVALID_CONFIG, 0)
    assert (await bench.models.generate(bench.call("unpriced"), prompt())).usage.cost is None


# ---- failures


async def test_refused_call_gives_its_room_back(bench: Bench) -> None:
    await bench.add("writer")
    bench.server.script("writer", [refused(500), refused(429, retry_after="7"), refused(401)])
    budget = {"tokens": 600, "cost": None}  # room for one call
    codes: list[str] = []
    for _ in range(3):
        request = prompt(max_tokens=500)
        codes.append((await error_of(bench.models.generate(bench.call("writer", budget=budget), request))).code)
    assert codes == [EXTERNAL_ERROR, RATE_LIMITED, ACCESS_DENIED]
    assert (await bench.models.generate(bench.call("writer", budget=budget), prompt(max_tokens=500))).text == "ok"
    assert [(row["status"], row["error_code"]) for row in await bench.rows()] == [
        ("released", EXTERNAL_ERROR),
        ("released", RATE_LIMITED),
        ("released", ACCESS_DENIED),
        ("settled", None),
    ]


async def test_text_that_came_before_a_stream_broke_off_is_paid_for(bench: Bench) -> None:
    await bench.add("writer")
    bench.server.script("writer", [text("many words " * 30, cut=True)])
    seen: list[str] = []
    error = await error_of(bench.models.generate(bench.call("writer"), prompt(on_partial=seen.append)))
    assert error.retryable
    [row] = await bench.rows()
    assert seen
    assert (row["status"], row["error_code"]) == ("settled", error.code)
    assert row["input_tokens"] > 0
    assert row["output_tokens"] >= len("".join(seen)) // 4
    assert row["cost"] > 0


async def test_cancelled_call_gives_its_room_back(bench: Bench) -> None:
    await bench.add("writer")
    bench.server.script("writer", [slow(30)])
    task = asyncio.create_task(bench.models.generate(bench.call("writer"), prompt()))
    await called(bench)
    assert [row["status"] for row in await bench.rows()] == ["reserved"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.models.close()
    assert [(row["status"], row["error_code"]) for row in await bench.rows()] == [("released", "CANCELLED")]


async def test_failing_provider_is_replaced_only_where_the_row_says_so(bench: Bench) -> None:
    await bench.add("careful", fallback=["spare"])
    await bench.add("eager", fallback=["spare"], fallback_on=["error"])
    await bench.add("spare")
    bench.server.script("careful", [refused(503)])
    bench.server.script("eager", [refused(503), refused(429), dropped(), refused(400)])
    assert (await error_of(bench.models.generate(bench.call("careful"), prompt()))).code == EXTERNAL_ERROR
    for _ in range(3):
        assert (await bench.models.generate(bench.call("eager"), prompt())).model == "spare"
    assert (await error_of(bench.models.generate(bench.call("eager"), prompt()))).code == INVALID_CONFIG
    assert bench.server.count("spare") == 3


async def test_when_all_fallbacks_fail_the_first_error_stands(bench: Bench) -> None:
    await bench.add("first", fallback=["second"], fallback_on=["error"])
    await bench.add("second")
    bench.server.script("first", [refused(429, "first is busy", retry_after="9")])
    bench.server.script("second", [refused(500, "second is down")])
    error = await error_of(bench.models.generate(bench.call("first"), prompt()))
    assert (error.code, error.retry_after_s, error.details["fallbacks"]) == (RATE_LIMITED, 9, ["second"])


# ---- limits


async def test_limit_that_is_reached_makes_no_call_and_reserves_nothing(bench: Bench) -> None:
    await bench.add("writer", requests_per_minute=3)
    answers = await asyncio.gather(
        *(bench.workers[n % 2].generate(bench.call("writer"), prompt()) for n in range(8)), return_exceptions=True
    )
    errors = [answer for answer in answers if isinstance(answer, NodeError)]
    assert (bench.server.count(), len(errors)) == (3, 5)
    assert {(error.code, error.retryable, error.retry_after_s is not None) for error in errors} == {
        (RATE_LIMITED, True, True)
    }
    assert len(await bench.rows()) == 3


async def test_concurrency_is_kept_by_two_workers_and_all_get_their_turn(bench: Bench) -> None:
    await bench.add("writer", concurrency=2)
    bench.server.otherwise = slow(0.05)
    await asyncio.gather(*(bench.workers[n % 2].generate(bench.call("writer"), prompt()) for n in range(8)))
    assert (bench.server.count(), bench.server.most_at_once) == (8, 2)


# ---- the operator's file


async def test_operators_models_are_for_all_tenants_and_a_row_of_the_same_name_wins(
    bench: Bench, models_file: Path
) -> None:
    write(
        models_file,
        f"house: {{provider: openai_compatible, model: m, base_url: '{bench.server.openai_url}', price_input: 0.5}}\n"
        f"writer: {{provider: ollama, model: other, base_url: '{bench.server.ollama_url}'}}\n",
    )
    await bench.add("writer")
    assert (await bench.models.generate(bench.call("house"), prompt())).provider == "openai_compatible"
    assert (await bench.models.generate(bench.call("writer"), prompt())).provider == "openai", "the row wins"
    error = await error_of(bench.models.generate(bench.call("nothing"), prompt()))
    assert error.details["known"] == ["house", "writer"]
    write(models_file, "house: {provider: openai, model: m, prise_input: 3, fallback: [a]}\n")
    error = await error_of(bench.models.generate(bench.call("house"), prompt()))
    assert error.code == INVALID_CONFIG
    assert "house.prise_input" in error.message


async def test_address_in_a_tenants_row_passes_the_guard(bench: Bench) -> None:
    await bench.add("mine", base_url="http://169.254.169.254/latest")
    error = await error_of(bench.models.generate(bench.call("mine"), prompt()))
    assert error.code == BLOCKED_ADDRESS


# ---- PostgreSQL goes away


async def test_answer_outlives_an_outage_of_postgresql_and_is_booked_when_it_is_back(
    bench: Bench, open_port: Callable[[Database], Models]
) -> None:
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        await server.wait_ready()
        await server.create_roles()
        await server.create_database("structforge")
        await upgrade(server.url("structforge_owner", "structforge"))
        database = await Database.open(server.url("structforge_app", "structforge"), pool_size=2, timeout_s=2)
        fallen = Bench(bench.server, database, bench.tenant, [open_port(database)])
        await fallen.add("writer")
        bench.server.script("writer", [slow(1.0, "worth its money")])
        task = asyncio.create_task(fallen.models.generate(fallen.call("writer"), prompt()))
        await called(bench)
        await asyncio.to_thread(server.stop)
        answer = await task
        assert answer.text == "worth its money"
        server.start()
        await server.wait_ready()
        await fallen.models.close(timeout_s=40)
        assert [(row["status"], row["input_tokens"]) for row in await fallen.rows()] == [("settled", 7)]
        await database.close()
    finally:
        server.remove()
