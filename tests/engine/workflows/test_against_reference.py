"""Random graphs through the real stack: the record holds what the slow reference says, given the observed order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import pytest_asyncio

from engine.contracts import RUN_SEGMENT
from engine.dag.compile import compile_plan
from engine.dag.spec import WorkflowSpec
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Ended, Lab
from tests.engine.workflows.observation import Feeder, Place, comparable, observe
from tests.reference.comparison import canonical
from tests.reference.evaluate import normalise, respond
from tests.reference.frames import Key, State
from tests.reference.generator import random_document, random_input
from tests.reference.interpreter import Reference
from tests.replay.replaying import replay_failures

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEEDS = range(50)
FUSED_SEEDS = range(1000, 1020)
AT_ONCE = 10


@dataclass(slots=True)
class Responses(Effects):
    """Answers as `evaluate.respond` says, by how often a request with its idempotency key has come."""

    tried: Counter[str] = field(default_factory=Counter[str])

    async def _answer(self, target: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        key = headers["idempotency-key"]
        self.tried[key] += 1
        status, body = respond(target, self.tried[key])
        return status, orjson.dumps(body), "application/json"


@pytest_asyncio.fixture(loop_scope="session")
async def responses() -> AsyncIterator[Responses]:
    opened = Responses()
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0)
    opened.port = server.sockets[0].getsockname()[1]
    yield opened
    server.close()


@dataclass(slots=True)
class Case:
    """One random execution."""

    seed: int
    document: dict[str, Any]
    input: Any
    trigger: str | None

    @classmethod
    def make(cls, seed: int, effect_url: str, **settings: Any) -> Case:
        rng = random.Random(seed)
        document = random_document(rng, effect_url=effect_url, size=20, racy=False)
        triggers = [node["id"] for node in document["nodes"] if node["type"] == "manual"]
        data = random_input(rng)
        document["settings"] = {**document.get("settings", {}), **settings}
        return cls(seed, {**document, "name": f"random-{seed}"}, data, rng.choice(triggers) if triggers else None)


async def test_random_graphs_end_as_the_reference_says_and_replay(lab: Lab, responses: Responses) -> None:
    lab.max_histories = 20
    await _compare_all(lab, [Case.make(seed, responses.url("")) for seed in SEEDS])


async def test_random_graphs_mean_the_same_when_their_io_is_fused(lab: Lab, responses: Responses) -> None:
    ended = await _compare_all(lab, [Case.make(seed, responses.url(""), dispatch="fused") for seed in FUSED_SEEDS])
    scheduled = [event.activity_task_scheduled_event_attributes for one in ended for event in one.history.events]
    assert sum(one.activity_type.name == RUN_SEGMENT for one in scheduled) > len(FUSED_SEEDS)


async def _compare_all(lab: Lab, cases: list[Case]) -> list[Ended]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def run(case: Case) -> Ended:
        async with slots:
            return await lab.run(case.document, case.input, trigger=case.trigger)

    ended = await asyncio.gather(*(run(case) for case in cases))
    differing: dict[int, str] = {}
    for case, one in zip(cases, ended, strict=True):
        try:
            await _compare(case, one)
        except Exception as error:
            differing[case.seed] = repr(error)
    assert differing == {}
    assert await replay_failures(await lab.histories(), lab.stack.runtime.temporal.data_converter) == {}
    return ended


async def _compare(case: Case, ended: Ended) -> None:
    spec = WorkflowSpec.model_validate(case.document)
    plan = compile_plan(spec, built_in_catalogue(), AstReferenceParser())
    reference = Reference(spec, case.input, case.trigger, manual=True)
    feeder = Feeder(reference, plan)
    for event in await observe(ended.history, ended.lab.stack.runtime.temporal.data_converter):
        feeder.feed(event)
    assert (ended.status, reference.due()) == (reference.status, [])
    if ended.status == "success":
        assert normalise(await ended.output()) == normalise(reference.output)
    else:
        assert ended.error is not None
        assert reference.error is not None
        assert ended.error["code"] == reference.error["code"]
    recorded = canonical(_without(comparable(await _states(ended), feeder.cut), feeder.adopted), plan)
    assert recorded == canonical(_without(comparable(reference.states(), feeder.cut), feeder.adopted), plan)


def _without(states: dict[Key, State], places: list[Place]) -> dict[Key, State]:
    return {key: state for key, state in states.items() if key[:2] not in places}


async def _states(ended: Ended) -> dict[Key, State]:
    states: dict[Key, State] = {}
    for row in ended.all:
        code = row.error["code"] if row.error else None
        states[row.key] = State(row.status, await ended.lab.load(row.output), code, row.attempts)
    return states
