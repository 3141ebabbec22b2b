"""A plain path means the same on the host and, step by step, in the sandbox."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import NodeError
from engine.expressions import Evaluator, Request, compile_expression

KEYS = st.sampled_from(["a", "b", "items", "keys", "b c", "é", "__class__", "0"])
ATOMS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
DATA = st.recursive(ATOMS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
STEPS = st.lists(KEYS | st.integers(-3, 3), max_size=4)


def spell(root: str, steps: list[str | int]) -> str:
    return root + "".join(
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]" for step in steps
    )


def verdict(result: Any) -> Any:
    return "fails" if isinstance(result, NodeError) else ("gives", result)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.dictionaries(KEYS, DATA, max_size=4), STEPS), min_size=1, max_size=10))
async def test_plain_path_equals_evaluation_step_by_step(evaluator: Evaluator, pairs: list[Any]) -> None:
    plain = [Request(compile_expression(spell("input", steps)), {"input": data}) for data, steps in pairs]
    dynamic = [
        Request(compile_expression(f"(lambda x: {spell('x', steps)})(input)"), {"input": data}) for data, steps in pairs
    ]
    assert all(request.expression.path is not None for request in plain)
    assert all(request.expression.computed for request in dynamic)
    direct, stepped = await evaluator.evaluate(plain), await evaluator.evaluate(dynamic)
    assert [verdict(result) for result in direct] == [verdict(result) for result in stepped]
