from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engine.activities.outcome_queue import OutcomeQueue, newest_of_each, owner_of
from models.rows import NodeRow
from models.tenancy import mint_tenant

TENANTS = [mint_tenant(UUID(int=number)) for number in (1, 2)]
ROWS = st.builds(
    NodeRow,
    tenant=st.sampled_from(TENANTS),
    execution_id=st.sampled_from([UUID(int=number) for number in (7, 8)]),
    node_path=st.sampled_from("abc"),
    node_type=st.just("map"),
    status=st.sampled_from(["running", "waiting", "retrying", "success", "failed"]),
    attempts=st.integers(0, 2),
    execution_attempt=st.integers(1, 2),
)


@given(st.lists(ROWS, max_size=30), st.integers(1, 5))
def test_every_node_execution_leaves_once_in_its_newest_state(rows: list[NodeRow], limit: int) -> None:
    queue = OutcomeQueue()
    for row in rows:
        queue.put(row)
    # Slow and obvious: the first of the highest precedence of each key.
    expected = {}
    for row in rows:
        known = expected.get((owner_of(row), row.key))
        if known is None or row.precedence > known.precedence:
            expected[owner_of(row), row.key] = row
    assert len(queue) == len(expected)
    left: list[NodeRow] = []
    while len(queue):
        some = queue.take_some(limit)
        assert 0 < len(some) <= limit
        left += some
    assert {(owner_of(row), row.key): row.precedence for row in left} == {
        key: row.precedence for key, row in expected.items()
    }
    assert len(left) == len(expected)
    assert sorted(map(repr, newest_of_each(rows))) == sorted(map(repr, left))


@given(st.lists(ROWS, max_size=30))
def test_taking_an_execution_leaves_the_others(rows: list[NodeRow]) -> None:
    queue = OutcomeQueue()
    for row in rows:
        queue.put(row)
    owner = (TENANTS[0], UUID(int=7))
    taken, before = queue.take_all([owner]), len(newest_of_each(rows))
    assert all(owner_of(row) == owner for row in taken)
    assert owner not in queue.owners
    assert len(taken) + len(queue) == before


def test_newer_state_keeps_what_only_the_older_one_knew() -> None:
    queue = OutcomeQueue()
    first = NodeRow(TENANTS[0], UUID(int=7), "a", "map", "running", input={"v": 1, "n": 1}, worker="w")
    last = NodeRow(TENANTS[0], UUID(int=7), "a", "map", "success", attempts=1)
    queue.put(last)
    queue.put(first)
    [row] = queue.take_some(10)
    assert (row.status, row.input, row.worker) == ("success", {"v": 1, "n": 1}, "w")
