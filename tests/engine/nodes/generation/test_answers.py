from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from engine.nodes.generation.answers import check_schema, faults_of, read_answer, schema_param_issues


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"n": 1}', {"n": 1}),
        ("  [1]\n", [1]),
        ("null", None),
        ('```json\n{"n": 1}\n```', {"n": 1}),
        ("```\n[]\n```\n", []),
        ('{"code": "```js\\nx\\n```"}', {"code": "```js\nx\n```"}),
    ],
)
def test_an_answer_is_read_with_or_without_a_fence(text: str, data: Any) -> None:
    assert read_answer(text) == data


@pytest.mark.parametrize(
    "text", ["", "yes", '{"n": NaN}', '{"n": 1} and more', "```json\n{\n```", "[" * 200 + "]" * 200]
)
def test_what_is_no_json_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        read_answer(text)


async def test_faults_name_their_place_and_are_at_most_ten() -> None:
    schema = {"type": "array", "items": {"type": "object", "required": ["a"]}}
    found = await faults_of(schema, [{"a": 1}] + [{}] * 50)
    assert found[0] == "answer[1]: 'a' is a required property"
    assert len(found) == 10


async def test_a_fault_never_carries_much_of_the_answer() -> None:
    (fault,) = await faults_of({"type": "integer"}, "x" * 10_000)
    assert len(fault) < 400


def test_a_schema_with_templates_is_looked_at_when_it_runs() -> None:
    assert schema_param_issues({"type": "{{ input.kind }}"}, "p") == []
    assert schema_param_issues("{{ input.schema }}", "p") == []
    (issue,) = schema_param_issues({"type": "nonsense"}, "p")
    assert (issue.code, issue.path) == ("INVALID_PARAM", "p.type")
    assert issue.hint


def test_a_rendered_schema_is_refused_with_its_places() -> None:
    check_schema({"type": "object"}, "response_schema")
    with pytest.raises(NodeError) as caught:
        check_schema({"type": "nonsense", "$id": "x"}, "response_schema")
    assert caught.value.details["issues"][0]["path"] == "params.response_schema.type"
