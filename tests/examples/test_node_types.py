"""Every node type has an example document, and each of them runs through Temporal with its real counterpart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.dag.document import parse_spec, read_document
from engine.dag.inputs import check_input
from engine.dag.validate import validate
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from engine.settings import Settings
from tests.conftest import record_histories
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Ended, Lab, Stack, open_stack
from tests.examples.counterparts import Counterparts, open_counterparts
from tests.examples.node_types import CASES, Case

FOLDER = Path(__file__).parents[2] / "examples" / "nodes"
RUNS = [(name, number) for name, cases in CASES.items() for number in range(len(cases))]
TYPES = [kind.type for kind in built_in_catalogue().types()]
TRIGGERS = [kind.type for kind in built_in_catalogue().types() if kind.kind == "trigger"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def counterparts(
    engine_servers: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Counterparts]:
    async with open_counterparts(engine_servers, tmp_path_factory.mktemp("counterparts")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def example_stack(counterparts: Counterparts, effects: Effects) -> AsyncIterator[Stack]:
    """A worker of its own that knows the counterparts."""
    async with open_stack(counterparts.settings, effects) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def example_lab(example_stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    opened = await Lab.open(example_stack)
    yield opened
    values = request.node.callspec.params
    await record_histories(opened, request, f"example_of_{values['name']}-{values['number']}")


def document_of(name: str) -> dict[str, Any]:
    return read_document((FOLDER / f"{name}.yaml").read_bytes(), name=f"{name}.yaml")


def test_every_node_type_has_an_example_that_is_run() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(TYPES)
    assert sorted(CASES) == sorted(TYPES)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_valid_shows_its_type_and_says_what_it_does(path: Path) -> None:
    spec = parse_spec(document_of(path.stem))
    issues = validate(spec, built_in_catalogue(), AstReferenceParser())
    assert [issue for issue in issues if issue.severity == "error"] == []
    assert path.stem in {node.type for node in spec.nodes}
    assert spec.name == f"node-{path.stem.replace('_', '-')}"
    assert path.read_text("utf-8").startswith("# ")


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(("name", "number"), RUNS, ids=[f"{name}-{number}" for name, number in RUNS])
async def test_an_example_does_what_it_says(
    example_lab: Lab, counterparts: Counterparts, name: str, number: int
) -> None:
    case, lab = CASES[name][number], example_lab
    if case.needs is not None:
        await counterparts.prepare(case.needs)
    for applied in case.applied:
        await lab.save(document_of(applied))
    if case.answers and counterparts.ai is not None:
        counterparts.ai.calls.clear()
        counterparts.ai.script(f"{case.needs}-{case.model}", case.answers)
    ended = await run(lab, name, case, case.input_for(counterparts.addresses))
    assert (ended.status, ended.error) == ("success", None), {row.node_path: row.error for row in ended.all}
    assert {place: ended.nodes[place].status for place in case.states} == case.states
    assert await ended.output() == case.expected
    if case.answers and counterparts.ai is not None:
        assert counterparts.ai.count() == len(case.answers)
    if case.after is not None:
        case.after(counterparts)


async def run(lab: Lab, name: str, case: Case, given: Any) -> Ended:
    """Start by hand as the API does: a trigger completes its data, then the input is checked against `inputs`."""
    document = document_of(name)
    spec = parse_spec(document)
    trigger = next((node for node in spec.nodes if node.type in TRIGGERS), None)
    if trigger is not None:
        kind = built_in_catalogue().get(trigger.type)
        assert kind is not None
        given = kind.data_by_hand(trigger.params, given, datetime.now(UTC))
    started = await lab.start(document, check_input(spec, given), trigger=None if trigger is None else trigger.id)
    if case.meanwhile is not None:
        await case.meanwhile(started)
    return await started.end()
