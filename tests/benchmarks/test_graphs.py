"""The graphs have the promised shape, and their documents are valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents import Style, document_of, expected_outputs
from benchmarks.graphs import BUILT_IN, Graph, graph_named, layered, wfformat
from engine.dag.document import parse_spec
from engine.dag.validate import validate
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("style", ["plain", "computed"])
@pytest.mark.parametrize("isolate", [False, True])
def test_every_graph_is_a_valid_document(name: str, style: Style, isolate: bool) -> None:
    document = document_of(graph_named(name), style, isolate=isolate)

    issues = validate(parse_spec(document), built_in_catalogue(), AstReferenceParser())

    assert [issue for issue in issues if issue.severity == "error"] == []
    assert all(node.get("isolate", False) is isolate for node in document["nodes"])


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "sinks"),
    [
        ("one", 1, 0, 1),
        ("chain", 20, 19, 1),
        ("fan", 102, 200, 1),  # 1 + 100 + 1; 100 out and 100 in
        ("layered", 1000, 2700, 100),  # 10 layers of 100; 9 of them read 3 each
    ],
)
def test_a_graph_has_its_shape(name: str, nodes: int, edges: int, sinks: int) -> None:
    graph = graph_named(name)

    assert (len(graph.parents), sum(map(len, graph.parents)), len(graph.sinks)) == (nodes, edges, sinks)
    assert all(parent < node for node, parents in enumerate(graph.parents) for parent in parents)


def test_expected_outputs_of_a_small_layered_graph() -> None:
    graph = layered(layers=2, width=3, reads=2)  # n3 reads n0 n1, n4 reads n1 n2, n5 reads n2 n0

    assert graph.parents[3:] == ((0, 1), (1, 2), (0, 2))
    assert expected_outputs(graph, "plain")["n5"] == {"id": 5, "parents": [0, 2]}
    assert [output["depth"] for output in expected_outputs(graph, "computed").values()] == [1, 1, 1, 2, 2, 2]


def test_no_expression_is_longer_than_the_product_takes() -> None:
    graph = Graph("wide", (*(() for _ in range(300)), tuple(range(300))))

    mapping = document_of(graph, "computed", isolate=False)["nodes"][-1]["params"]["mapping"]

    assert len(mapping["depth"]) < 4096


def wf_file(folder: Path, tasks: list[dict[str, Any]]) -> Path:
    path = folder / "wf.json"
    path.write_text(json.dumps({"schemaVersion": "1.5", "workflow": {"specification": {"tasks": tasks}}}))
    return path


def test_a_wfformat_file_is_read_in_topological_order(tmp_path: Path) -> None:
    tasks = [
        {"id": "end", "children": []},
        {"id": "left", "children": ["end"]},
        {"id": "right", "children": ["end", "end"]},
        {"id": "start", "children": ["left", "right"]},
    ]

    assert wfformat(wf_file(tmp_path, tasks)).parents == ((), (0,), (0,), (1, 2))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "no workflow.specification.tasks"),
        ([{"id": "a", "children": ["b"]}], "unknown child b"),
        ([{"id": "a", "children": ["b"]}, {"id": "b", "children": ["a"]}], "cycle"),
    ],
)
def test_a_wfformat_file_without_a_graph_is_refused(tmp_path: Path, tasks: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wfformat(wf_file(tmp_path, tasks))
