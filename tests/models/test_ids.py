from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from models.ids import id_of_fire, new_id, time_of_id

MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2999, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)


@given(MOMENTS, st.text(max_size=20))
def test_id_of_a_fire_is_a_uuid7_of_its_time_and_always_the_same(moment: datetime, origin: str) -> None:
    identifier = id_of_fire(moment, origin)
    assert identifier == id_of_fire(moment, origin)
    assert identifier.version == 7
    assert identifier.variant == "specified in RFC 4122"
    assert abs(time_of_id(identifier) - moment) < timedelta(milliseconds=2)


@given(MOMENTS)
def test_two_origins_of_one_moment_have_two_ids(moment: datetime) -> None:
    assert id_of_fire(moment, "a") != id_of_fire(moment, "b")


def test_new_ids_increase_and_carry_the_present() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert abs(time_of_id(made[0]) - datetime.now(UTC)) < timedelta(seconds=5)
