import pytest

from engine.dag.references import NodeReference, ReferenceParser
from engine.expressions import AstReferenceParser

PARSER: ReferenceParser = AstReferenceParser()


def codes(text: str, *, extra_names: tuple[str, ...] = (), expressions: bool = False) -> list[str]:
    found = PARSER.parse(text, "p", extra_names=extra_names, expressions=expressions)
    return [issue.code for issue in found.issues]


def test_references_carry_their_place() -> None:
    tree = {"url": "{{ nodes.a.output.x }}{{ vars.k }}", "body": [1, "{{ nodes['b'].status + input.z }}"]}
    found = PARSER.parse(tree, "nodes[3].params")
    assert found.nodes == [
        NodeReference("a", "output", "nodes[3].params.url"),
        NodeReference("b", "status", "nodes[3].params.body[1]"),
    ]
    assert (found.variables, found.names, found.issues, found.constant) == (
        ["k"],
        ["input", "nodes", "vars"],
        [],
        False,
    )


def test_port_reference_is_static() -> None:
    assert PARSER.parse("{{ nodes.a.ports.big.x }}", "p").nodes == [NodeReference("a", "ports", "p")]
    assert codes("{{ nodes.a.ports }}") == ["DYNAMIC_NODE_REFERENCE"]


def test_members_may_be_named_like_keywords() -> None:
    found = PARSER.parse("{{ nodes.a.ports.else.x }}{{ nodes.b.output.from + inputs.in }}", "p")
    assert (found.issues, found.inputs) == ([], ["in"])
    assert found.nodes == [NodeReference("a", "ports", "p"), NodeReference("b", "output", "p")]


@pytest.mark.parametrize(
    "text", ["from.x", "input.from()", "(input.from)()", "input. if", "f'{input.from}'", "input.x if"]
)
def test_keyword_anywhere_but_right_behind_a_dot_is_an_issue(text: str) -> None:
    assert codes(text, expressions=True) == ["EXPRESSION_SYNTAX"]


@pytest.mark.parametrize(
    "text",
    [
        "nodes",
        "nodes.a",
        "nodes[input.x].output",
        "nodes['a' + 'b'].output",
        "nodes.a.outptu",
        "len(nodes)",
        "nodes.items()",
        "[n for n in nodes]",
        "nodes[0].output",
        "nodes.a[input.f]",
    ],
)
def test_dynamic_node_access_is_an_issue(text: str) -> None:
    assert codes(text, expressions=True) == ["DYNAMIC_NODE_REFERENCE"]


@pytest.mark.parametrize(
    "text",
    [
        "[x.y for x in input.l if x]",
        "(lambda a, *b, c=input.n, **d: (a, b, c, d))(1)",
        "(y := input.n) + y",
        "{k: v for k, (v, *_) in input.l}",
        "sorted(input.l, key=lambda o: o.n)",
        "[a for a in input.l for b in a]",
        "f'{input.x:>{input.w}}'",
        "max(1, 2)",
    ],
)
def test_names_bound_inside_are_known(text: str) -> None:
    assert codes(text, expressions=True) == []


def test_name_bound_inside_does_not_hide_its_use_outside() -> None:
    found = PARSER.parse("[item for item in item.children]", "p", extra_names=("item",), expressions=True)
    assert (found.names, found.issues) == (["item"], [])
    assert codes("[q for q in input.l] + q", expressions=True) == ["UNKNOWN_NAME"]


def test_unknown_name_is_an_issue_with_the_nearest_name() -> None:
    issue = PARSER.parse("{{ inptu.x }}", "p").issues[0]
    assert (issue.code, issue.path) == ("UNKNOWN_NAME", "p")
    assert issue.hint == "did you mean input?"
    assert codes("{{ item.x }}") == ["UNKNOWN_NAME"]
    assert codes("{{ item.x }}", extra_names=("item",)) == []
    assert "True" in PARSER.parse("{{ true }}", "p").issues[0].hint


def test_constant_says_whether_anything_is_to_render() -> None:
    assert PARSER.parse({"a": ["x", 1]}, "p").constant
    assert not PARSER.parse({"a": ["x", "{{ 1 }}"]}, "p").constant


@pytest.mark.parametrize(
    "source",
    [
        "(" * 4000,
        "[" * 150 + "]" * 150,
        "-" * 4000 + "1",
        "a" + ".b" * 2040,
        "a" + "[0]" * 1300,
        "not " * 1000 + "x",
        "1" * 4090,
        "0x" + "f" * 4090,
        "x\x00y",
        "\ud800",
        "'\\ud800'",
        "lambda:" * 580 + "1",
        "(x" + ")" * 4000,
        "a if b else " * 330 + "c",
        "1+" * 2040 + "1",
        "f'" + "{" * 2000,
        "x" * 5000,
        "'" + "é" * 2048 + "'",
        "{{" * 2000,
        "}}" * 2000,
        "{{ " * 1300 + " }}" * 1300,
    ],
)
def test_hostile_sources_end_in_issues_or_nothing(source: str) -> None:
    allowed = {"EXPRESSION_SYNTAX", "EXPRESSION_TOO_LONG", "UNKNOWN_NAME", "DYNAMIC_NODE_REFERENCE"}
    assert set(codes(source, expressions=True)) <= allowed
    assert set(codes("{{" + source + "}}")) <= allowed


@pytest.mark.parametrize(
    "text",
    ["*input", "max(key=1, key=2)", "lambda a, a: 1", "{**a for a in input}", "[x := 1 for x in input]", "f'{1!z}'"],
)
def test_what_only_a_compiler_finds_is_an_issue_too(text: str) -> None:
    assert codes(text, expressions=True) == ["EXPRESSION_SYNTAX"]


def test_lookalike_characters_do_not_hide_reserved_names() -> None:
    assert codes("_ｓf_jobs", expressions=True) == ["UNKNOWN_NAME"]
    assert codes("__ｂuiltins__", expressions=True) == ["UNKNOWN_NAME"]
    assert codes("input.x._＿class__()", expressions=True) == ["UNKNOWN_NAME"]


def test_length_is_bounded_in_bytes() -> None:
    assert codes("'" + "a" * 4094 + "'", expressions=True) == []
    assert codes("'" + "é" * 2048 + "'", expressions=True) == ["EXPRESSION_TOO_LONG"]
    assert codes("{{ '" + "a" * 5000 + "' }}") == ["EXPRESSION_TOO_LONG"]


def test_every_issue_of_a_tree_is_reported() -> None:
    found = PARSER.parse({"a": "{{ 1 + }}", "b": ["{{ zzz }}", "{{ nodes }}"]}, "p")
    assert [(issue.path, issue.code) for issue in found.issues] == [
        ("p.a", "EXPRESSION_SYNTAX"),
        ("p.b[0]", "UNKNOWN_NAME"),
        ("p.b[1]", "DYNAMIC_NODE_REFERENCE"),
    ]
