"""Nothing that a document can hold makes validation crash, stall or forget an issue."""

import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.dag
from engine.dag.validate.codes import CODES
from engine.dag.validate.graphs import ancestors, components
from engine.errors import Issue, ValidationFailed
from tests.engine.dag.validate.documents import edges, foreach, graph, issues, loop, node, parallel

JUNK: list[Any] = [
    None,
    True,
    -1,
    2**63 - 1,
    1.5,
    "",
    "a",
    "{{ nodes.zz.output }}",
    "{{",
    "{{ 1 + }}",
    [],
    {},
    [{}],
    {"": 0},
]


def rich_document() -> dict[str, Any]:
    body = graph(node("i"), node("j", "{{ nodes.i.output }}"), links=edges("i j"), outputs="{{ nodes.j.output }}")
    fork = parallel(
        "fork", {"id": "left", **graph(node("k"))}, {"id": "right", **graph(loop("deep", graph(node("m"))))}, wait=1
    )
    chosen = {"conditions": [{"condition": "{{ input.x > 1 }}", "output_port": "high"}]}
    return graph(
        {"id": "start", "type": "manual"},
        node(
            "a", "{{ input.x }}", retry={"max_attempts": 2}, assign={"v": "{{ nodes.a.output }}"}, when="{{ vars.v }}"
        ),
        foreach("each", body, break_condition="last", concurrency=2),
        fork,
        {"id": "c", "type": "condition", "params": chosen},
        {"id": "s", "type": "sort", "params": {"items": [], "sort_by": [{"by": "total", "order": "asc"}]}},
        links=edges("start a", "a each", "each fork", "fork c", "c.high s"),
        handlers=graph(node("h", "{{ error }}")),
        inputs={"type": "object", "properties": {"x": {"type": "number", "default": 1}}},
        variables={"v": {"default": 0}},
        outputs={"s": "{{ nodes.s.output }}"},
        settings={"retry": {"from": "start"}, "notifications": [{"on": ["failed"], "via": "webhook", "url": "x"}]},
    )


def mutate(tree: Any, rng: random.Random) -> Any:
    """The tree with one place, chosen at random, removed, doubled, renamed or replaced by junk."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        if rng.random() < 0.75:
            return {**tree, key: mutate(tree[key], rng)}
        rest = {name: member for name, member in tree.items() if name != key}
        return rng.choice([rest, {**rest, key + "x": tree[key]}, {**tree, key: rng.choice(JUNK)}])
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        index = rng.randrange(len(tree))
        return rng.choice(
            [
                [*tree[:index], mutate(tree[index], rng), *tree[index + 1 :]],
                [*tree[:index], *tree[index + 1 :]],
                [*tree, tree[index]],
            ]
        )
    return rng.choice(JUNK)


def all_issues(document: dict[str, Any]) -> list[Issue]:
    try:
        return issues(document)
    except ValidationFailed as failure:
        return failure.issues or [Issue("", "", "")]


def test_the_document_that_is_mutated_is_good() -> None:
    assert [issue.code for issue in issues(rich_document()) if issue.severity == "error"] == []


def test_mutated_documents_give_issues_and_never_another_exception() -> None:
    rng = random.Random(7)
    faulty = 0
    for _ in range(1500):
        document = rich_document()
        for _ in range(rng.randint(1, 4)):
            document = mutate(document, rng)
            if not isinstance(document, dict):
                document = {}
        result = all_issues(document)
        assert all(issue.code in CODES and issue.message for issue in result), result
        faulty += bool(result)
    assert faulty > 500


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    )
)
def test_ancestors_are_what_a_slow_search_finds(case: tuple[int, list[tuple[int, int]]]) -> None:
    size, pairs = case
    links = [(source, target, number) for number, (source, target) in enumerate(pairs) if source != target]
    parts = components(size, links)
    sets = ancestors(size, links, parts)

    def reached(start: int) -> set[int]:
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            current = waiting.pop()
            new = {target for source, target, _ in links if source == current} - seen
            seen |= new
            waiting.extend(new)
        return seen

    reach = [reached(index) for index in range(size)]
    assert sorted(index for part in parts for index in part) == list(range(size))
    for one in range(size):
        for other in range(size):
            assert bool(sets[other] >> one & 1) == (other in reach[one])
            together = one == other or (other in reach[one] and one in reach[other])
            assert together == any(one in part and other in part for part in parts)


def chain(count: int) -> dict[str, Any]:
    nodes = [node("n0"), *(node(f"n{i}", f"{{{{ nodes.n{i - 1}.output }}}}") for i in range(1, count))]
    return graph(*nodes, links=[link for i in range(1, count) for link in edges(f"n{i - 1} n{i}")])


def closed_chain(count: int) -> dict[str, Any]:
    document = chain(count)
    document["edges"] += edges(f"n{count - 1} n0")
    return document


def all_wrong(count: int) -> dict[str, Any]:
    nodes = [
        {"id": f"n{i}", "type": f"transfrm{i}", "params": {"a": f"{{{{ nodes.z{i}.output }}}}"}} for i in range(count)
    ]
    return graph(*nodes, links=[link for i in range(count) for link in edges(f"n{i} q{i}")])


@pytest.mark.parametrize(
    ("document", "count", "first"),
    [
        (chain(10_000), 0, ""),
        (closed_chain(10_000), 1, "CYCLE"),
        (chain(20_000), 1, "TOO_MANY_NODES"),
        (all_wrong(5_000), 15_000, "UNKNOWN_TYPE"),
    ],
    ids=["long", "one large cycle", "too many", "all wrong"],
)
def test_large_documents_are_checked_in_seconds(document: dict[str, Any], count: int, first: str) -> None:
    started = time.process_time()
    result = issues(document)
    assert time.process_time() - started < 5
    assert len(result) == count
    assert not result or result[0].code == first


def test_every_code_in_the_source_is_listed_and_no_listed_code_is_missing_there() -> None:
    root = Path(engine.dag.__path__[0])
    source = "\n".join(path.read_text() for path in root.parent.rglob("*.py") if path.name != "codes.py")
    used = set(re.findall(r'(?:Issue|_refuse|_fail)\(\s*(?:event, )?"([A-Z_]+)"', source))
    assert used <= CODES.keys()
    assert {code for code in CODES if f'"{code}"' not in source} == set()
