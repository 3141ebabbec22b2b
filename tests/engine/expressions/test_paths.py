import pytest

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions.parse import parse_expression
from engine.expressions.paths import Path, resolve

NODES = {
    "fetch": {
        "output": {"items": [{"total": 5}, {"total": 9}], "null": None},
        "status": "success",
        "error": None,
        "ports": {"out": {"a": 1}},
    },
    "choice": {
        "output": {"port": "else"},
        "status": "success",
        "error": None,
        "ports": {"else": {"from": [{"class": 4}]}},
    },
    "pruned": {"output": None, "status": "pruned", "error": None, "ports": {}},
}
SCOPE = {"nodes": NODES, "input": {"a": {"b c": [1, 2, 3]}, "s": "text", "n": None}, "vars": {"None": 6}, "last": None}


def at(source: str) -> object:
    path = parse_expression(source).path
    assert path is not None, "not a plain path"
    return resolve(path, SCOPE, source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nodes.fetch.output.items[1].total", 9),
        ("nodes['fetch']['output']['items'][-2]['total']", 5),
        ("nodes.fetch.status", "success"),
        ("nodes.fetch.ports.out.a", 1),
        ("input.a['b c'][-1]", 3),
        ("input.s[0]", "t"),
        ("input.n", None),
        ("nodes.choice.ports.else.from[0].class", 4),
        ("vars.None", 6),
    ],
)
def test_plain_path_gives_what_stands_there(source: str, expected: object) -> None:
    assert at(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "nodes.pruned.output.a.b[3]",
        "nodes.fetch.error.message",
        "nodes.absent.output.x",
        "nodes.absent.status",
        "nodes.fetch.ports.error.message",
        "last.items[0]",
    ],
)
def test_null_of_what_did_not_run_stays_null_along_the_path(source: str) -> None:
    assert at(source) is None


@pytest.mark.parametrize(
    ("source", "path", "keys"),
    [
        ("nodes.fetch.output.totl", "nodes.fetch.output.totl", ["items", "null"]),
        ("input.b.c", "input.b", ["a", "s", "n"]),
        ("input.a['b c'][3]", "input.a['b c'][3]", None),
        ("nodes.fetch.output.null.x", "nodes.fetch.output.null.x", None),
        ("input.s.x", "input.s.x", None),
        ("inptu.a", "inptu", ["nodes", "input", "vars", "last"]),
    ],
)
def test_missing_key_names_the_path_and_the_keys_there_are(source: str, path: str, keys: list[str] | None) -> None:
    with pytest.raises(NodeError) as caught:
        at(source)
    assert caught.value.code == EXPRESSION_ERROR
    assert caught.value.details["path"] == path
    assert caught.value.details["expression"] == source
    if keys is not None:
        assert sorted(caught.value.details["keys"]) == sorted(keys)


def test_at_most_twenty_keys_are_named() -> None:
    with pytest.raises(NodeError) as caught:
        resolve(Path("input", ("x",)), {"input": {f"k{number}": number for number in range(500)}})
    assert caught.value.details["keys"][20:] == ["… (500 in all)"]


def test_messages_hold_keys_and_types_but_no_data() -> None:
    with pytest.raises(NodeError) as caught:
        resolve(Path("input", ("token", "x")), {"input": {"token": "s3cr3t"}})
    assert "s3cr3t" not in str(caught.value.as_dict())


def test_key_wins_over_method_unless_it_is_called() -> None:
    assert at("nodes.fetch.output.items") == [{"total": 5}, {"total": 9}]
    assert parse_expression("nodes.fetch.output.items()").computed
