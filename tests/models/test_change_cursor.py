import random

import pytest

from models.change_cursor import EXECUTION, NODE, ChangeCursor, Place, Snapshot
from models.ids import new_id


def test_a_snapshot_at_the_end_of_an_epoch_is_one_that_postgresql_reads() -> None:
    assert str(Snapshot(2**32)) == f"{2**32 + 3}:{2**32 + 3}:"


def test_a_snapshot_reads_and_writes_what_postgresql_does() -> None:
    snapshot = Snapshot.parse("10:20:10,14")
    assert (str(snapshot), str(Snapshot.parse("7:7:"))) == ("10:20:10,14", "7:7:")
    assert [number in snapshot for number in (9, 10, 11, 14, 19, 20)] == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    "cursor",
    [
        ChangeCursor(),
        ChangeCursor(Snapshot(2000, frozenset({1500, 1999})), log_seq=77, at_s=1_790_000_000),
        ChangeCursor(Snapshot(2000, frozenset({1500})), 1500, Place(NODE, 2**40), 1, 2),
        ChangeCursor(Snapshot(2000), 2000, Place(EXECUTION, 0, new_id())),
    ],
)
def test_a_cursor_comes_back_from_its_text(cursor: ChangeCursor) -> None:
    assert ChangeCursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    ["", "x", "2.1.1....0.0", "1.1.0...0.0", "1.5.4.0..0.0", "1.1.4..9-0-1.0.0", "1.1.4..4-7-1.0.0",
     "1.1.4..4-1-zz.0.0", "1.-1.4...0.0", f"1.1.{'f' * 30}...0.0", "1.1.4.." + "0" * 9000 + ".0.0"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ChangeCursor.parse(text)


class Table:
    """Rows of transactions that begin in order and end in any; a slow and obvious model of what PostgreSQL keeps."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.next = 3
        self.open: dict[int, list[Place]] = {}
        self.rows: list[tuple[int, Place]] = []
        self.seq = 0

    def step(self) -> None:
        if self.open and self.chance.random() < 0.5:
            transaction = self.chance.choice([*self.open])
            self.rows += [(transaction, place) for place in self.open.pop(transaction)]
            return
        self.seq += 5
        self.open[self.next] = [Place(NODE, self.seq + n) for n in range(self.chance.randrange(4))]
        if self.chance.random() < 0.3:
            self.open[self.next].append(Place(EXECUTION, 0, new_id()))
        self.next += 1

    def snapshot(self) -> Snapshot:
        return Snapshot(self.next, frozenset(self.open))

    def page(self, cursor: ChangeCursor, limit: int) -> tuple[list[tuple[int, Place]], bool]:
        unseen = [
            (transaction, place)
            for transaction, place in self.rows
            if transaction not in cursor.seen and not (transaction == cursor.partly and place <= cursor.place)
        ]
        unseen.sort(key=lambda row: (row[0] != cursor.partly, row))
        return unseen[:limit], len(unseen) < limit


@pytest.mark.parametrize("seed", range(60))
def test_whoever_comes_back_after_any_change_sees_each_once(seed: int) -> None:
    chance = random.Random(seed)
    table, cursor, seen = Table(chance), ChangeCursor(), list[tuple[int, Place]]()
    for turn in range(150):
        if turn < 120:
            table.step()
        elif table.open:
            transaction = next(iter(table.open))
            table.rows += [(transaction, place) for place in table.open.pop(transaction)]
        page, whole = table.page(cursor, chance.choice([1, 2, 5, 1000]))
        behind = cursor.behind(page, table.snapshot(), 1, whole=whole)
        if page:
            kept = chance.randint(1, len(page))  # the connection breaks somewhere in the page
            seen += page[:kept]
            cursor = ChangeCursor.parse(str(behind[kept - 1]))
    while (rest := table.page(cursor, 3))[0]:
        seen += rest[0]
        cursor = cursor.behind(rest[0], table.snapshot(), 1, whole=rest[1])[-1]

    assert sorted(seen) == sorted(table.rows)
    assert len(set(seen)) == len(seen)
