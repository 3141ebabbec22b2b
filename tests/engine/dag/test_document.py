import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag.bodies import bodies
from engine.dag.document import parse_spec, read_document
from engine.errors import Issue, ValidationFailed

MINIMAL = {"name": "x", "nodes": [{"id": "a", "type": "manual"}]}


def faults(text: str | bytes, name: str = "x.yaml") -> list[Issue]:
    with pytest.raises(ValidationFailed) as failure:
        read_document(text if isinstance(text, bytes) else text.encode(), name=name)
    return failure.value.issues


def shape_faults(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationFailed) as failure:
        parse_spec(document)
    return [(issue.code, issue.path) for issue in failure.value.issues]


def yaml(text: str) -> dict[str, Any]:
    return read_document(text.encode(), name="x.yaml")


# ---- reading


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.yml", "upload", "A.JSON"])
def test_json_is_read_under_any_name(name: str) -> None:
    assert read_document(json.dumps(MINIMAL, indent="\t").encode(), name=name) == MINIMAL


def test_a_byte_order_mark_is_no_part_of_the_document() -> None:
    assert read_document(b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode(), name="a.json") == MINIMAL


def test_yaml_has_the_types_of_json_and_no_others() -> None:
    assert yaml("{a: on, b: 'no', c: 2024-01-01, d: 012, e: 0x1f, f: 1e3, g: .5, h: ~, i: true, j: 12:30:00}") == {
        "a": "on",
        "b": "no",
        "c": "2024-01-01",
        "d": 12,
        "e": 31,
        "f": 1000.0,
        "g": 0.5,
        "h": None,
        "i": True,
        "j": "12:30:00",
    }


def test_keys_stay_the_text_that_was_written() -> None:
    assert yaml("on: 1\n404: 2\ntrue: 3\n") == {"on": 1, "404": 2, "true": 3}


def test_aliases_and_merges_are_resolved_and_own_keys_win() -> None:
    document = yaml("base: &b {x: 1, y: 2}\none: *b\ntwo:\n  <<: *b\n  y: 3\n")
    assert document["one"] == {"x": 1, "y": 2}
    assert document["two"] == {"x": 1, "y": 3}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda i: st.lists(i) | st.dictionaries(st.text('abc"\\:#'), i),
    )
)
def test_json_and_yaml_read_the_same_data_from_json(data: Any) -> None:
    text = json.dumps({"k": data}).encode()
    assert read_document(text, name="a.json") == read_document(text, name="a.yaml") == {"k": data}


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:,-&*<!'\"|> \n\tab01\\?#%@", max_size=60).map(str.encode))
def test_no_bytes_end_in_another_exception(data: bytes) -> None:
    for name in ("a.yaml", "a.json", "a"):
        with suppress(ValidationFailed):
            assert isinstance(read_document(data, name=name), dict)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("a: 1\n b: 2\n", "DOCUMENT_SYNTAX", "line 2, column 3"),
        ("a: 1\n\tb: 2\n", "DOCUMENT_SYNTAX", "line 2, column 1"),
        ("a: {{ vars.x }}\n", "DOCUMENT_SYNTAX", "line 1, column 5"),
        ("a: 1\n---\nb: 2\n", "DOCUMENT_SYNTAX", "line 2, column 1"),
        ("a: *nowhere\n", "DOCUMENT_SYNTAX", "line 1, column 4"),
        ("a: &a [*a]\n", "DOCUMENT_SYNTAX", "line 1, column 8"),
        ("a: !!python/object/apply:os.system [x]\n", "DOCUMENT_SYNTAX", "line 1, column 4"),
        ("a: !!binary aGk=\n", "DOCUMENT_SYNTAX", "line 1, column 4"),
        ("<<: 3\n", "DOCUMENT_SYNTAX", "line 1, column 5"),
        ("a: 1\nb: 2\na: 3\n", "DUPLICATE_KEY", "line 3, column 1"),
        ("a: .nan\n", "INVALID_NUMBER", "line 1, column 4"),
        ("a: 9223372036854775808\n", "INVALID_NUMBER", "a"),
        ("a: 1e999\n", "INVALID_NUMBER", "a"),
        ('a: "\\0"\n', "INVALID_TEXT", "a"),
        ("- 1\n", "DOCUMENT_SYNTAX", ""),
        ("", "DOCUMENT_SYNTAX", ""),
        ("just words", "DOCUMENT_SYNTAX", ""),
        (b"a: 1\nb: \xff\n", "DOCUMENT_SYNTAX", "line 2, column 4"),
        ("a: \x01\n", "DOCUMENT_SYNTAX", ""),
    ],
)
def test_bad_yaml_is_an_issue_with_its_place(text: str | bytes, code: str, path: str) -> None:
    issue = faults(text)[0]
    assert (issue.code, issue.path) == (code, path)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ('{"a": 1,\n "b" 2}', "DOCUMENT_SYNTAX", "line 2, column 6"),
        ('{"a": 1,\n "b": {"c": 1, "d": [{}], "c": 2}}', "DUPLICATE_KEY", "line 2, column 27"),
        ('{"a": NaN}', "INVALID_NUMBER", ""),
        ('{"a": [1, {"b": 1e999}]}', "INVALID_NUMBER", "a[1].b"),
        ('{"a": ' + "9" * 5000 + "}", "INVALID_NUMBER", ""),
        ('{"a": "\\ud800"}', "INVALID_TEXT", "a"),
        ('{"a\\u0000": 1}', "INVALID_TEXT", '["a\ufffd"]'),
        ("[]", "DOCUMENT_SYNTAX", ""),
    ],
)
def test_bad_json_is_an_issue_with_its_place(text: str, code: str, path: str) -> None:
    assert [(issue.code, issue.path) for issue in faults(text, "x.json")] == [(code, path)]


def test_every_duplicate_key_is_named() -> None:
    assert [issue.path for issue in faults("a: 1\na: 2\nb: {c: 1, c: 2}\n")] == [
        "line 2, column 1",
        "line 3, column 11",
    ]


def test_an_unquoted_template_is_told_to_be_quoted() -> None:
    assert "quotes" in faults("a: {{ vars.x }}\n")[0].hint


def test_a_file_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert faults(b"{" * 5_000_000)[0].code == "DOCUMENT_TOO_LARGE"


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert faults("\n".join(lines))[0].code == "DOCUMENT_TOO_LARGE"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "x.json"),
        ('{"a":' * 150 + "1" + "}" * 150, "x.json"),
        ("a: " + "[" * 200_000, "x.yaml"),
        ("".join(" " * depth + "a:\n" for depth in range(300)), "x.yaml"),
    ],
)
def test_depth_is_an_issue_and_never_exhausts_the_stack(text: str, name: str) -> None:
    assert faults(text, name)[0].code == "DOCUMENT_TOO_DEEP"


# ---- shape


def test_a_minimal_document_has_the_defaults() -> None:
    spec = parse_spec(MINIMAL)
    assert (spec.settings.max_parallel_nodes, spec.settings.on_error, spec.nodes[0].join) == (50, "fail", "all")


def test_every_fault_of_the_shape_comes_at_once_in_document_order() -> None:
    document = {
        "nodes": [
            {"id": "a", "type": "manual", "timeout": 30, "retry": {"intervall": "1s"}},
            {"type": 3, "when": 7, "on_error": "explode"},
        ],
        "edges": [{"source": "a"}],
        "settings": {"retry": {"from": "middle"}},
        "variables": {"x": "EUR"},
        "colour": 1,
    }
    assert shape_faults(document) == [
        ("MISSING_KEY", "name"),
        ("INVALID_VALUE", "variables.x"),
        ("INVALID_VALUE", "nodes[0].timeout"),
        ("UNKNOWN_KEY", "nodes[0].retry.intervall"),
        ("MISSING_KEY", "nodes[1].id"),
        ("INVALID_VALUE", "nodes[1].type"),
        ("INVALID_VALUE", "nodes[1].on_error"),
        ("INVALID_VALUE", "nodes[1].when"),
        ("MISSING_KEY", "edges[0].target"),
        ("INVALID_VALUE", "settings.retry.from"),
        ("UNKNOWN_KEY", "colour"),
    ]


@pytest.mark.parametrize(
    ("node", "hint"),
    [({"parms": {}}, "did you mean params?"), ({"url": "x"}, "parameters of its type stand under params")],
)
def test_an_unknown_key_names_the_nearest(node: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValidationFailed) as failure:
        parse_spec({"name": "x", "nodes": [{"id": "a", "type": "manual", **node}]})
    assert hint in failure.value.issues[0].hint


@pytest.mark.parametrize("document", [None, 3, "text", [], {"name": "x", "nodes": {}}, {"name": "x", "nodes": [1]}])
def test_what_is_no_document_is_an_issue(document: Any) -> None:
    assert shape_faults(document)


def loop(node_id: str, body: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "loop", "params": {"loop_type": "for", "count": 1, "body": body}}


def test_faults_inside_bodies_come_with_those_outside() -> None:
    fork = {"id": "p", "type": "parallel", "params": {"branches": [{"nodes": []}, {"id": "b", "edgs": []}]}}
    document = {
        "name": "x",
        "nodes": [loop("l", {"nodes": [fork, {"id": "q"}]}), {"type": "manual"}],
        "handlers": {"nodes": [loop("h", 3)]},
    }
    assert shape_faults(document) == [
        ("MISSING_KEY", "nodes[0].params.body.nodes[0].params.branches[0].id"),
        ("UNKNOWN_KEY", "nodes[0].params.body.nodes[0].params.branches[1].edgs"),
        ("MISSING_KEY", "nodes[0].params.body.nodes[1].type"),
        ("MISSING_KEY", "nodes[1].id"),
        ("INVALID_VALUE", "handlers.nodes[0].params.body"),
    ]


def test_bodies_nested_a_hundred_deep_are_one_issue() -> None:
    body: dict[str, Any] = {"nodes": []}
    for level in range(100):
        body = {"nodes": [loop(f"l{level}", body)]}
    assert [code for code, _ in shape_faults({"name": "x", **body})] == ["DOCUMENT_TOO_DEEP"]


def test_bodies_are_parsed_once_and_again_for_a_changed_copy() -> None:
    branches = [{"id": "left", "nodes": []}, {"id": "right", "nodes": [{"id": "a", "type": "map"}], "outputs": 1}]
    node = parse_spec(
        {"name": "x", "nodes": [{"id": "p", "type": "parallel", "params": {"branches": branches}}]}
    ).nodes[0]
    assert [(path, name) for path, name, _ in bodies(node)] == [
        ("params.branches[0]", "left"),
        ("params.branches[1]", "right"),
    ]
    assert bodies(node) is bodies(node)
    assert bodies(node.model_copy(update={"params": {"branches": branches[:1]}})) == bodies(node)[:1]
    assert "_parsed" not in node.model_dump_json()


def test_a_loop_gives_one_body_and_other_types_none() -> None:
    spec = parse_spec(
        {"name": "x", "nodes": [loop("l", {"nodes": []}), {"id": "t", "type": "map", "params": {"body": {}}}]}
    )
    assert [(path, name) for path, name, _ in bodies(spec.nodes[0])] == [("params.body", "body")]
    assert bodies(spec.nodes[1]) == []
