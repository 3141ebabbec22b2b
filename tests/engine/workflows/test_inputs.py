"""What the record keeps of the inputs of local nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.workflows.lab import Lab, Stack, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def every_input(stack: Stack) -> Iterator[None]:
    stack.runtime.record_inputs = "all"
    yield
    stack.runtime.record_inputs = "io"


async def test_every_input_is_recorded_where_the_operator_wants_it(lab: Lab, every_input: None) -> None:
    ended = await lab.run(graph(pure("a", 5), pure("b", "{{ nodes.a.output + 1 }}")))
    inputs = {row.node_path: await lab.load(row.input) for row in ended.all}
    assert inputs == {"a": {"mapping": 5}, "b": {"mapping": 6}}


async def test_local_nodes_that_succeed_record_none_by_default(lab: Lab) -> None:
    ended = await lab.run(graph(pure("a", 5)))
    assert [row.input for row in ended.all] == [None]
