import asyncio
import subprocess
import sys
import time

import psutil
import pytest

from engine.errors import EXPRESSION_ERROR, NodeError
from engine.expressions import Evaluator, Request, compile_expression

SCOPE = {
    "input": {
        "n": 2,
        "s": "hey",
        "l": [3, 1, 2],
        "rows": [{"t": 5, "items": 1}, {"t": 9, "items": 2}],
        "token": "s3cr3t",
        "from": {"class": 5, "in": [{"if": 1}, {"if": 2}]},
    },
    "vars": {},
    "nodes": {"p": {"output": None, "status": "pruned"}},
}

CASES = [
    ("input.n + 1", 3),
    ("input.s.upper()", "HEY"),
    ("[row.t * 2 for row in input.rows]", [10, 18]),
    ("[row.items for row in input.rows]", [1, 2]),
    ("[list(row.items())[0] for row in input.rows]", [["t", 5], ["t", 9]]),
    ("list(input.rows[0].items())", [["t", 5], ["items", 1]]),
    ("sorted(input.rows, key=lambda row: -row.t)[0].t", 9),
    ("max(row.t for row in input.rows)", 9),
    ("input.missing if 'missing' in input else 0", 0),
    ("[input.missing for _ in []]", []),
    ("nodes.p.output.total or 7", 7),
    ("f'{input.n:>3}|{input.s!r}|{input.n + 1}'", "  2|'hey'|3"),
    ("{'a': input.n, **input.rows[0]}", {"a": 2, "t": 5, "items": 1}),
    ("(y := input.n) * y", 4),
    ("[input for input in input.l]", [3, 1, 2]),
    ("(lambda input: input + 1)(1)", 2),
    ("(input.l.sort(), input.l.append(9), input.l)[2]", [3, 1, 2]),
    ("(l := input.l, l.sort(), l)[2]", [1, 2, 3]),
    ("input.l[::-1]", [2, 1, 3]),
    ("input.l[input.n]", 2),
    ("'%s-%s' % (input.n, input.s)", "2-hey"),
    ("{1: 'a'}", {"1": "a"}),
    ("1 < input.n < 3 and not input.l == []", True),
    ("'_sf_0' + input.s", "_sf_0hey"),
    ("input.from.class + 1", 6),
    ("[one.if for one in input.from.in if one.if > 1]", [2]),
    ("'input.from' + f'.else {input.s}'", "input.from.else hey"),
    ("'é.in' + str(input.from.in[0].if or 0 if input.from.class else 0)", "é.in1"),
]


def requests(sources: list[str]) -> list[Request]:
    return [Request(compile_expression(source), SCOPE) for source in sources]


async def one(evaluator: Evaluator, source: str) -> object:
    return (await evaluator.evaluate(requests([source])))[0]


async def test_expressions_mean_what_they_say(evaluator: Evaluator) -> None:
    results = await evaluator.evaluate(requests([source for source, _ in CASES]))
    assert dict(zip([source for source, _ in CASES], results, strict=True)) == dict(CASES)


async def test_batch_equals_one_by_one(evaluator: Evaluator) -> None:
    """Also with mutating expressions in the batch and failing ones between."""
    sources = [source for source, _ in CASES] + [
        "1 / 0",
        "input.l.clear()",
        "input.rows.pop().clear()",
        "input.zzz + 1",
        "{1}",
    ]
    together = await evaluator.evaluate(requests(sources * 2))
    alone = [await one(evaluator, source) for source in sources]
    told = [result.as_dict() if isinstance(result, NodeError) else result for result in together]
    assert told == [result.as_dict() if isinstance(result, NodeError) else result for result in alone] * 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("input.missing + 1", "input.missing: input has no key 'missing'"),
        ("[row.q for row in input.rows]", "there is no key 'q'; there are: t, items"),
        ("[x.y for x in input.l]", "a number has no 'y'"),
        ("{1, 2} - {1}", "set"),
        ("2 ** 63", "64 bit"),
        ("10 ** 5000", "64 bit"),
        ("float('nan')", "NaN"),
        ("[float('inf')]", "NaN"),
        ("b'a' + b'b'", "bytes"),
        ("len or 1", "call it"),
        ("input.rows[0].keys()", "list(...)"),
        ("range(input.n)", "list(...)"),
        ("{(1, 2): 3}", "key"),
        ("input.n + input.s", "TypeError"),
        ("input.n / 0", "ZeroDivisionError"),
        ("(lambda f: f(f, 90))(lambda f, n: [f(f, n - 1)] if n else 0)", None),
        ("(lambda f: f(f, 101))(lambda f, n: [f(f, n - 1)] if n else 0)", "deeper than 100"),
    ],
)
async def test_errors_say_what_is_wrong(source: str, said: str | None, evaluator: Evaluator) -> None:
    result = await one(evaluator, source)
    if said is None:
        assert not isinstance(result, NodeError)
        return
    assert isinstance(result, NodeError)
    assert result.code == EXPRESSION_ERROR
    assert said in result.message
    assert result.details["expression"] == source


@pytest.mark.parametrize("source", ["int(input.token)", "float(input.token)", "input[input.token + 'x'] + input.token"])
async def test_errors_do_not_repeat_data(source: str, evaluator: Evaluator) -> None:
    result = await one(evaluator, source)
    assert isinstance(result, NodeError)
    if "[" not in source:  # a key that is missing is named, like the keys there are
        assert "s3cr3t" not in str(result.as_dict())


async def test_runaway_expression_fails_alone(evaluator: Evaluator) -> None:
    sources = ["input.n + 1", "sum(range(10 ** 12))", "input.n + 2", "'a' * 10 ** 9", "input.n + 3"]
    results = await evaluator.evaluate(requests(sources))
    assert [results[0], results[2], results[4]] == [3, 4, 5]
    assert (results[1].details["reason"], results[3].details["reason"]) == ("timeout", "memory")


async def test_map_gives_results_in_order_with_item_and_index(evaluator: Evaluator) -> None:
    expression = compile_expression("item.n * 2 + index + vars.k")
    results = await evaluator.map_items(expression, [{"n": n} for n in range(1500)], {"vars": {"k": 1}})
    assert results == [3 * n + 1 for n in range(1500)]


async def test_map_over_a_plain_path_needs_no_sandbox() -> None:
    idle = Evaluator()  # never started
    assert await idle.map_items(compile_expression("item.n"), [{"n": 1}, {"n": 2}], {}) == [1, 2]


async def test_map_reports_failing_items_in_their_place(evaluator: Evaluator) -> None:
    results = await evaluator.map_items(compile_expression("1 / item.n"), [{"n": 1}, {"n": 0}, {}, {"n": 2}], {})
    assert (results[0], results[3]) == (1.0, 0.5)
    assert "ZeroDivisionError" in results[1].message
    assert "no key 'n'" in results[2].message


@pytest.mark.parametrize("guilty", [0, 1, 137, 299])
async def test_runaway_item_is_caught_within_about_twice_the_limit(guilty: int, evaluator: Evaluator) -> None:
    items = [10**12 if index == guilty else 3 for index in range(300)]
    started = time.perf_counter()
    results = await evaluator.map_items(compile_expression("sum(range(item))"), items, {})
    assert time.perf_counter() - started < 10  # 2 * 0.5 s, and a machine with other work
    assert results[guilty].details["reason"] == "timeout"
    assert [result for index, result in enumerate(results) if index != guilty] == [3] * 299


async def test_hopeless_map_ends_after_a_few_runaways(evaluator: Evaluator) -> None:
    results = await evaluator.map_items(compile_expression("'a' * (10 ** 9 + item)"), list(range(1000)), {})
    reasons = [result.details["reason"] for result in results]
    assert reasons == ["memory"] * 5 + ["given_up"] * 995


async def test_slow_but_honest_items_all_get_their_time(evaluator: Evaluator) -> None:
    """40 items of some 30 ms pass the limit of 0.5 s together, none of them alone."""
    results = await evaluator.map_items(compile_expression("sum(range(item))"), [600_000] * 40, {})
    assert results == [sum(range(600_000))] * 40


async def test_killed_worker_process_is_replaced_and_costs_no_expression(evaluator: Evaluator) -> None:
    assert await one(evaluator, "1 + 1") == 2
    for child in psutil.Process().children():
        if "monty" in " ".join(child.cmdline()):
            child.kill()
    assert await one(evaluator, "1 + 2") == 3


async def test_lazy_mapping_is_read_only_where_a_path_leads(evaluator: Evaluator) -> None:
    class Nodes(dict[str, object]):
        def __missing__(self, key: str) -> object:
            read.append(key)
            return {"output": {"x": 1, "big": object()}}

    read: list[str] = []
    result = await evaluator.evaluate([Request(compile_expression("nodes.a.output.x + 1"), {"nodes": Nodes()})])
    assert (result, read) == ([2], ["a"])


async def test_data_that_cannot_cross_fails_only_its_own_expression(evaluator: Evaluator) -> None:
    scope = {"input": {"bad": object(), "text": "\ud800", "n": 1}}
    sources = ["input.n + 1", "str(input.bad)", "input.text + ''", "input.n + 2"]
    results = await evaluator.evaluate([Request(compile_expression(source), scope) for source in sources])
    assert (results[0], results[3]) == (2, 3)
    assert [type(results[1]), type(results[2])] == [NodeError, NodeError]


async def test_cancelled_evaluation_leaves_the_evaluator_usable(evaluator: Evaluator) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one(evaluator, "sum(range(10 ** 12))"), 0.05)
    assert await one(evaluator, "1 + 1") == 2


EXIT_AFTER_TIMEOUT = """
import asyncio
from engine.expressions import Evaluator, Request, compile_expression

async def main():
    async with Evaluator(processes=1, timeout_s=0.1) as evaluator:
        await evaluator.evaluate([Request(compile_expression("sum(range(10 ** 12))"), {})])

asyncio.run(main())
"""


@pytest.mark.parametrize("_attempt", range(3))
def test_process_exits_cleanly_right_after_a_timeout(_attempt: int) -> None:
    """A background thread of the client that outlives the interpreter would abort the process."""
    assert subprocess.run([sys.executable, "-c", EXIT_AFTER_TIMEOUT], timeout=20).returncode == 0
