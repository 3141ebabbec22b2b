"""What is measured: one way of running one graph. `run` is timed; `check` looks at what came out, untimed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid4

from benchmarks.documents import Style, document_of, expected_outputs, foreach_document, fused_document_of
from benchmarks.graphs import Graph
from benchmarks.handwritten import TASK_QUEUE, workflow_of
from benchmarks.stand import Stand
from engine.activities.starting import input_of
from engine.contracts import EXECUTION_WORKFLOW, temporal_id
from engine.dag.document import parse_spec
from engine.dag.validate import validate
from engine.expressions import AstReferenceParser
from engine.nodes.registry import catalogue_of
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.workflows import Saved, Workflows

VARIANTS = ("handwritten", "isolated", "local", "computed", "fused")
PAGE = 1000


class WrongResult(Exception):
    """A run was fast but not right."""


class Subject(Protocol):
    """`run` gives a handle of the finished run, which `check` and `events` understand."""

    @property
    def variant(self) -> str: ...

    async def run(self) -> Any: ...

    async def check(self, handle: Any) -> None: ...

    async def events(self, handle: Any) -> int:
        """Events in the Temporal history of the run."""
        ...


@dataclass(slots=True)
class Handwritten:
    """From the start call to the result of the Temporal workflow; nothing is recorded anywhere else."""

    stand: Stand
    graph: Graph
    variant: str = "handwritten"

    async def run(self) -> tuple[str, Any]:
        name, arguments = workflow_of(self.graph)
        identifier = f"handwritten-{uuid4()}"
        client = self.stand.plain_temporal
        return identifier, await client.execute_workflow(name, args=arguments, id=identifier, task_queue=TASK_QUEUE)

    async def check(self, handle: tuple[str, Any]) -> None:
        if self.graph.name == "foreach":
            _expect(handle[1], _passes(self.graph), "result")
            return
        expected = expected_outputs(self.graph, "plain")
        _expect(handle[1], {f"n{sink}": expected[f"n{sink}"] for sink in self.graph.sinks}, "result")

    async def events(self, handle: tuple[str, Any]) -> int:
        return (await self.stand.plain_temporal.get_workflow_handle(handle[0]).describe()).history_length


@dataclass(slots=True)
class StructForge:
    """From the start call (row of the execution first, as the API does) to the result; the record is closed then."""

    stand: Stand
    graph: Graph
    variant: str
    saved: Saved
    style: Style
    expected: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    async def run(self) -> UUID:
        stand, saved = self.stand, self.saved
        new = NewExecution(
            workflow_id=saved.workflow.id,
            version_id=saved.version.id,
            workflow_name=saved.workflow.name,
            input={"v": {}, "n": 2},
            node_total=len(self.graph.parents),
        )
        created = await Executions(stand.database).create_execution(stand.tenant, new)
        request = await input_of(stand.database, stand.versions, stand.tenant, created.execution)
        await stand.temporal.execute_workflow(
            EXECUTION_WORKFLOW,
            request,
            id=temporal_id(str(stand.tenant), str(new.id)),
            task_queue=stand.settings.worker.task_queue,
        )
        return new.id

    async def check(self, handle: UUID) -> None:
        stand = self.stand
        row = await Executions(stand.database).get(stand.tenant, handle)
        _expect(row.status, "success", "status")
        if not self.expected:
            self.expected = expected_outputs(self.graph, self.style)
        sinks = {f"n{sink}": self.expected[f"n{sink}"] for sink in self.graph.sinks}
        _expect(await self._data(row.output), sinks, "result")
        _expect(await self._recorded(handle), self.expected, "node executions")

    async def _recorded(self, execution_id: UUID) -> dict[str, Any]:
        """Outputs of the successful node executions on record, by path."""
        rows, outputs = NodeExecutions(self.stand.database), dict[str, Any]()
        after = None
        while True:
            page = await rows.list(self.stand.tenant, execution_id, after=after, limit=PAGE)
            for row in page:
                if row.status == "success":
                    outputs[row.node_path] = await self._data(row.output)
            if len(page) < PAGE:
                return outputs
            after = (page[-1].node_path, page[-1].iteration, page[-1].generation)

    async def _data(self, value: dict[str, Any] | None) -> Any:
        return None if value is None else await self.stand.values.load(self.stand.tenant, value)

    async def events(self, handle: UUID) -> int:
        identifier = temporal_id(str(self.stand.tenant), str(handle))
        return (await self.stand.temporal.get_workflow_handle(identifier).describe()).history_length


@dataclass(slots=True)
class Loop(StructForge):
    """The passes of one loop; what is compared is the list that they come to."""

    async def check(self, handle: UUID) -> None:
        row = await Executions(self.stand.database).get(self.stand.tenant, handle)
        _expect(row.status, "success", "status")
        _expect(await self._data(row.output), {"items": _passes(self.graph)}, "result")


def _passes(graph: Graph) -> list[dict[str, Any]]:
    return [{"id": number, "parents": []} for number in range(len(graph.parents))]


async def subject_of(stand: Stand, graph: Graph, variant: str) -> Subject:
    """Raises: ValueError if the document of the graph is not valid."""
    if variant == "handwritten":
        return Handwritten(stand, graph)
    style: Style = "computed" if variant == "computed" else "plain"
    is_loop = graph.name == "foreach"
    isolate = variant == "isolated"
    document = foreach_document(graph, isolate=isolate) if is_loop else document_of(graph, style, isolate=isolate)
    if variant == "fused":
        document = fused_document_of(document)
    issues = validate(parse_spec(document), catalogue_of(stand.settings), AstReferenceParser())
    if errors := [issue for issue in issues if issue.severity == "error"]:
        raise ValueError(f"{document['name']}: {errors[0]}")
    saved = await Workflows(stand.database).create(stand.tenant, document)
    return (Loop if is_loop else StructForge)(stand, graph, variant, saved, style)


def _expect(actual: Any, expected: Any, what: str) -> None:
    if actual != expected:
        raise WrongResult(f"{what}: {str(actual)[:300]} instead of {str(expected)[:300]}")
