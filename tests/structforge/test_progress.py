"""The view of an execution that goes on: what each node shows, and what is left out when there is no room."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from engine.dag.parsing import parse_spec
from structforge.progress import Board, LineProgress, LiveProgress, in_words

SPEC = parse_spec(
    {
        "name": "orders",
        "nodes": [
            {"id": "start", "type": "manual"},
            {
                "id": "each",
                "type": "loop",
                "name": "Each order",
                "params": {"loop_type": "for", "count": 3, "body": {"nodes": [{"id": "price", "type": "http"}]}},
            },
            {"id": "last", "type": "transform"},
        ],
        "handlers": {"nodes": [{"id": "alarm", "type": "http"}]},
    }
)


def row(path: str, status: str, *iteration: int, **more: Any) -> dict[str, Any]:
    return {"path": path, "iteration": list(iteration), "status": status, "duration_ms": 1200.0, **more}


def screen(height: int, board: Board, *batches: list[dict[str, Any]]) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)
    view = LiveProgress(board, console)
    for batch in batches:
        view.update(batch)
    with console.capture() as capture:
        console.print(view.rendering())
    return capture.get()


def test_a_board_holds_the_document_bodies_below_their_containers_and_handlers_last() -> None:
    entries = Board("orders", SPEC).entries
    assert [(path, entry.depth) for path, entry in entries.items()] == [
        ("start", 0), ("each", 0), ("each.body.price", 1), ("last", 0), ("alarm", 0)
    ]  # fmt: skip


def test_a_node_in_a_body_sums_up_its_passes_and_shows_the_loudest_status() -> None:
    board = Board("orders", SPEC)
    error = {"code": "TIMEOUT", "message": "too\nslow\x1b[2J"}
    board.update([row("each.body.price", "success", 0), row("each.body.price", "failed", 1, error=error, attempts=3)])
    entry = board.entries["each.body.price"]
    assert entry.status == "failed"
    assert entry.duration_ms == 2400.0
    assert entry.remark() == "2 passes: 1 success, 1 failed · 3 attempts · TIMEOUT: too slow [2J"
    board.update([row("each.body.price", "running", 2)])
    assert entry.status == "running"


def test_a_board_without_a_document_takes_nodes_as_they_come() -> None:
    board = Board("orders")
    board.update([row("a", "success", type="map"), row("a.body.b", "success", 0, type="sort")])
    assert [(entry.name, entry.type, entry.depth) for entry in board.entries.values()] == [
        ("a", "map", 0), ("a.body.b", "sort", 1)
    ]  # fmt: skip


def test_lines_tell_each_outer_node_once_when_it_has_settled() -> None:
    console = Console(file=io.StringIO(), width=100)
    with LineProgress(Board("orders", SPEC), console) as view:
        view.update([row("start", "running"), row("each", "running")])
        view.update([row("start", "success"), row("each.body.price", "success", 0)])
        view.update([row("start", "success"), row("each", "failed", error={"code": "TIMEOUT", "message": "slow"})])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["✓ start (manual)  1.2 s", "✗ each (loop)  1.2 s  TIMEOUT: slow"]


def test_the_screen_shows_every_node_with_its_time() -> None:
    text = screen(30, Board("orders", SPEC), [row("start", "success"), row("each", "running")])
    lines = text.splitlines()
    assert "orders  1 of 5 nodes  starting for 0 s" in lines[0]
    assert "✓ start" in lines[1]
    assert "1.2 s" in lines[1]
    assert "Each order" in lines[2]
    assert "  price" in lines[3]


def test_a_low_screen_keeps_what_runs_or_failed_and_counts_the_rest() -> None:
    nodes = [{"id": f"n{at}", "type": "map"} for at in range(1000)]
    board = Board("many", parse_spec({"name": "many", "nodes": nodes}))
    text = screen(10, board, [row("n500", "running"), row("n700", "failed"), row("n3", "success")])
    assert "n500" in text
    assert "n700" in text
    assert "… and 994 more nodes" in text
    assert len(text.splitlines()) <= 10


def test_lengths_of_time_in_words() -> None:
    cases = [(None, ""), (0.4, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (59_940, "59.9 s"), (125_000, "2 min 5 s")]
    assert [in_words(length) for length, _ in cases] == [words for _, words in cases]
