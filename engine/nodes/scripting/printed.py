"""What a script printed, as lines that are small enough to be recorded."""

from __future__ import annotations

MAX_LINES = 1000
MAX_LINE_CHARACTERS = 2000
MAX_CHARACTERS = 64_000


def log_lines(text: str) -> list[str]:
    """The lines of `text`; what is beyond the bounds is left out, and the last line then says so."""
    lines: list[str] = []
    room = MAX_CHARACTERS
    every = text.split("\n")
    every = every[:-1] if every[-1] == "" else every
    for number, line in enumerate(every):
        kept = line if len(line) <= MAX_LINE_CHARACTERS else f"{line[:MAX_LINE_CHARACTERS]} …"
        room -= len(kept) + 1
        if number >= MAX_LINES or room < 0:
            return [*lines, f"… {len(every) - number} more lines are left out"]
        lines.append(kept)
    return lines
