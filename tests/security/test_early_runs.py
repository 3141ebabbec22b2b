"""Nothing of a document runs before its execution does, and what an expression gives is never evaluated again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.dag.document import parse_spec, read_document
from engine.dag.validate import validate
from engine.errors import NodeError, ValidationFailed
from engine.expressions import Evaluator, compile_template, render
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.engine.dag.validate.documents import graph, node
from tests.security.corpora import texts

MARK = "touched"


def script(code: str, runtime: str) -> dict[str, Any]:
    return {"id": "s", "type": "script", "params": {"code": code, "runtime": runtime}}


def test_validating_and_importing_a_document_run_nothing_of_it(tmp_path: Path) -> None:
    touch = f"open({str(tmp_path / MARK)!r}, 'w').close()"
    payloads = [text.replace("FOLDER", str(tmp_path)) for text in texts("expressions.txt")]
    documents = [graph(node("a", f"{{{{ {payload} }}}}")) for payload in [touch, *payloads]]
    codes = (touch, f"import os\n{touch}")
    documents += [graph(script(code, runtime)) for runtime in ("monty", "cpython") for code in codes]
    documents += [graph(node("a", when=f"{{{{ {touch} }}}}"), outputs={"x": f"{{{{ {touch} }}}}"})]
    catalogue, parser = built_in_catalogue(), AstReferenceParser()
    for document in documents:
        try:
            validate(parse_spec({"name": "x", **document}), catalogue, parser)
        except ValidationFailed:
            continue
    for text in (f"!!python/object/apply:os.system ['touch {tmp_path}/{MARK}']", f"name: !!python/name:{touch}"):
        with pytest.raises(ValidationFailed):
            read_document(text.encode(), name="w.yaml")
    assert os.listdir(tmp_path) == []


GIVEN = ["{{ 7 * 7 }}", "{{ vars.secret }}", "{{ '{{ 1 }}' }}", "}} {{ 7 * 7 }} {{", "{{", "a {{ 49 }} b"]


@pytest.mark.parametrize("given", GIVEN)
async def test_what_an_expression_gives_is_never_parsed_again(given: str) -> None:
    scope = {"input": {"text": given, "deep": [given]}, "vars": {"secret": "canary"}, "nodes": {}}
    templates: list[Any] = [
        "{{ input.text }}",
        "{{ input.text + '' }}",
        "<{{ input.text }}>",
        {"a": ["{{ input.deep[0] }}"], "b": "{{ [t for t in input.deep] }}"},
    ]
    async with Evaluator(processes=1, timeout_s=5) as evaluator:
        rendered = [await render(compile_template(template), scope, evaluator) for template in templates]
    assert rendered == [given, given, f"<{given}>", {"a": [given], "b": [given]}]


async def test_a_name_that_is_made_of_data_is_only_text() -> None:
    scope = {"input": {"name": "vars.secret", "code": "().__class__"}, "vars": {"secret": "canary"}, "nodes": {}}
    async with Evaluator(processes=1, timeout_s=5) as evaluator:
        for template in ("{{ input[input.name] }}", "{{ vars[input.code] }}"):
            with pytest.raises(NodeError):
                await render(compile_template(template), scope, evaluator)
