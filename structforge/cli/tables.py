"""Tables on stdout: drawn for a terminal, tab-separated for a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from structforge.cli.terminal import out, printable

STATUS_STYLES = {
    "pending": "dim",
    "running": "cyan",
    "retrying": "yellow",
    "waiting": "blue",
    "paused": "blue",
    "success": "green",
    "failed": "bold red",
    "timed_out": "bold red",
    "cancelled": "magenta",
    "skipped": "dim",
    "pruned": "dim",
}


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under titles; without a terminal each row is one line, its cells parted by tabs, so that `cut` works."""
    if not out().is_terminal:
        for row in rows:
            print("\t".join(printable(cell).replace("\n", " ") for cell in row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=STATUS_STYLES.get(cell, "")) for cell in row))
    out().print(table, soft_wrap=False)


def clock(moment: str | datetime | None) -> str:
    """A time of the server in the local time zone, to the second; nothing for None."""
    if moment is None:
        return ""
    parsed = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return aware.astimezone().strftime("%Y-%m-%d %H:%M:%S")
