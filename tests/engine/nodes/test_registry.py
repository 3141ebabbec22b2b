from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from engine.dag.catalogue import NodeCatalogue
from engine.errors import ConfigurationError
from engine.nodes.base import NodeContext, NodeParams, NodeResult, NodeType, node
from engine.nodes.registry import Catalogue, built_in_catalogue, node_types_in

EXPECTED = {
    "manual", "transform", "filter", "aggregate", "map", "sort", "condition", "switch", "delay", "parallel", "loop",
    "workflow", "http", "file_operation",
}  # fmt: skip
ALL = built_in_catalogue().types()


def test_catalogue_finds_every_built_in_type() -> None:
    assert {node_type.type for node_type in ALL} >= EXPECTED


def test_catalogue_fulfils_the_protocol_of_the_pure_core() -> None:
    catalogue: NodeCatalogue = built_in_catalogue()
    assert catalogue.nearest("filtr") == "filter"
    assert catalogue.nearest("zzzzzzzz") is None
    assert catalogue.get("nothing") is None


def test_two_types_of_one_name_are_refused() -> None:
    one = ALL[0]
    with pytest.raises(ConfigurationError, match=one.type):
        Catalogue([one, one])


def test_only_types_that_a_module_defines_itself_are_taken() -> None:
    module = ModuleType("plugin")

    class GreetParams(NodeParams):
        """Greet."""

    async def greet(params: Any, context: NodeContext) -> NodeResult:
        return NodeResult("hello")

    greet.__annotations__["params"] = GreetParams
    greet.__module__ = "plugin"
    greet = node("greet", category="data", kind="local")(greet)
    module.__dict__.update(greet=greet)
    assert [found.type for found in node_types_in(module)] == ["greet"]
    greet.__module__ = "elsewhere"
    assert [*node_types_in(module)] == []


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.type)
def test_every_type_publishes_all_that_is_promised(kind: NodeType) -> None:
    shown = kind.as_dict()
    assert shown["description"]
    assert shown["examples"]
    assert shown["params_schema"]["type"] == "object"
    assert shown["documentation"].startswith(f"# {kind.type}\n")
    assert (kind.executor is None) == (kind.kind in ("durable", "container"))
    fields = kind.params_model.model_fields
    assert all(field.description for field in fields.values())
    assert all(f"`{name}`" in shown["documentation"] for name in fields)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.type)
def test_every_example_is_valid(kind: NodeType) -> None:
    for example in kind.examples:
        issues = kind.validate_params(example["params"], "params")
        assert [issue for issue in issues if issue.severity == "error"] == []


def test_io_types_say_which_calls_may_be_repeated() -> None:
    http, files = built_in_catalogue().get("http"), built_in_catalogue().get("file_operation")
    assert http is not None
    assert files is not None
    assert http.idempotent({"url": "u"})
    assert http.idempotent({"method": "put"})
    assert not http.idempotent({"method": "POST"})
    assert not http.idempotent({"method": "{{ input.method }}"})
    assert http.idempotent({"method": "POST", "idempotent": True})
    assert [op for op in ("read", "write", "append", "list", "delete", "copy", "move", "{{ x }}")
            if files.idempotent({"operation": op})] == ["read", "write", "list", "delete", "copy"]  # fmt: skip
