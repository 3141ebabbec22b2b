import pytest

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions import (
    Evaluator,
    Request,
    compile_expression,
    compile_template,
    render,
    render_many,
    render_plain,
)

SCOPE = {
    "input": {"n": 1, "f": 1.5, "t": True, "none": None, "list": [1, "é", {"a": None}], "text": "{{ input.n }}"},
    "vars": {},
    "nodes": {},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ input.list }}", [1, "é", {"a": None}]),
        ("{{input.n}}", 1),
        ("a {{ input.n }} b", "a 1 b"),
        ("{{ input.n }}{{ input.t }}", "1true"),
        (" {{ input.none }}", " "),
        ("{{ input.f }};{{ input.list }}", '1.5;[1,"é",{"a":null}]'),
        ("\\{{ input.n }}", "{{ input.n }}"),
        ("\\\\{{ input.n }}", "\\1"),
        ("{{ '{{' }}", "{{"),
        ("{{ '}}' }} {{ input.n }}", "}} 1"),
        ("no braces } { }}", "no braces } { }}"),
        ({"a": ["{{ input.n }}", 2], "{{ k }}": None}, {"a": [1, 2], "{{ k }}": None}),
        ("{{ input.text }}", "{{ input.n }}"),
        ("x{{ input.text }}", "x{{ input.n }}"),
    ],
)
def test_plain_templates_render_without_an_evaluator(template: object, expected: object) -> None:
    assert render_plain(compile_template(template), SCOPE) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ {'a': {'b': input.n}} }}", {"a": {"b": 1}}),
        ("{{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("{{ input.n + 1 }}", 2),
        ("{{ input.n\n   + 1 }}", 2),
        ("n={{ input.n + 1 }}, {{ [1] + [2] }}", "n=2, [1,2]"),
        ("{{ '{{' + '}}' }}", "{{}}"),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ '{{ input' + '.n }}' }}", "{{ input.n }}"),
    ],
)
async def test_computed_templates(template: object, expected: object, evaluator: Evaluator) -> None:
    assert await render(compile_template(template), SCOPE, evaluator) == expected


def test_template_without_expressions_is_constant_and_given_back_as_it_is() -> None:
    template = compile_template({"a": [1, "x"]})
    assert template.constant
    assert render_plain(template, {}) is template.tree


@pytest.mark.parametrize(
    "text", ["{{", "{{ }}", "{{ 1 + }}", "{{ a b }}", "{{ x = 1 }}", "{{ yield 1 }}", "{{ await x }}"]
)
def test_what_is_no_expression_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(NodeError) as caught:
        compile_template({"headers": {"x-id": [text]}})
    assert caught.value.code == EXPRESSION_ERROR
    assert caught.value.details["location"] == 'headers["x-id"][0]'


async def test_failing_template_leaves_the_others_of_its_batch_alone(evaluator: Evaluator) -> None:
    texts = [
        "{{ input.n + 1 }}",
        {"a": "{{ input.n / 0 }}", "b": "{{ input.n + 5 }}"},
        "{{ input.n + 2 }}",
        "{{ input.x }}",
    ]
    results = await render_many([(compile_template(text), SCOPE) for text in texts], evaluator)
    assert [results[0], results[2]] == [2, 3]
    assert [type(results[1]), type(results[3])] == [NodeError, NodeError]
    assert results[1].details["location"] == "a"
    assert "ZeroDivisionError" in results[1].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 1", 2),
        ("{{ 1 + 1 }}", 2),
        (" input.n ", 1),
        (True, True),
        (5, 5),
        ("'a'", "a"),
        ("{{ {'a': 1} }}", {"a": 1}),
    ],
)
async def test_expression_parameter_is_bare_or_braced_or_constant(
    text: object, expected: object, evaluator: Evaluator
) -> None:
    assert await evaluator.evaluate([Request(compile_expression(text), SCOPE)]) == [expected]


@pytest.mark.parametrize("text", ["{{ a }} > 1", "a {{ b }}", "", "{{ a", "true ? 1 : 2"])
def test_mixed_text_is_no_expression_parameter(text: str) -> None:
    with pytest.raises(NodeError):
        compile_expression(text)
