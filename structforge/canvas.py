"""A grid of terminal cells, on which lines join where they meet."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_JOINTS = {
    _UP: "│",
    _DOWN: "│",
    _LEFT: "─",
    _RIGHT: "─",
    _UP | _DOWN: "│",
    _LEFT | _RIGHT: "─",
    _DOWN | _RIGHT: "╭",
    _DOWN | _LEFT: "╮",
    _UP | _RIGHT: "╰",
    _UP | _LEFT: "╯",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤",
    _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _LEFT | _RIGHT: "┴",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}


class Canvas:
    """Columns and rows from 0; text lies over lines."""

    def __init__(self) -> None:
        self._arms: dict[tuple[int, int], int] = {}
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}

    def line(self, x1: int, y1: int, x2: int, y2: int) -> None:
        """A straight line between two cells, both included."""
        if x1 == x2:
            for y in range(min(y1, y2), max(y1, y2)):
                self._join((x1, y), _DOWN, (x1, y + 1), _UP)
        else:
            for x in range(min(x1, x2), max(x1, x2)):
                self._join((x, y1), _RIGHT, (x + 1, y1), _LEFT)

    def _join(self, one: tuple[int, int], arm: int, other: tuple[int, int], other_arm: int) -> None:
        self._arms[one] = self._arms.get(one, 0) | arm
        self._arms[other] = self._arms.get(other, 0) | other_arm

    def text(self, x: int, y: int, text: str, style: str) -> None:
        """Write from a cell to the right; a wide character takes two cells."""
        for char in text:
            self._cells[(x, y)] = (char, style)
            for covered in range(1, cell_len(char)):
                self._cells[(x + covered, y)] = ("", style)
            x += max(cell_len(char), 1)

    def render(self) -> Text:
        places = self._cells.keys() | self._arms.keys()
        picture = Text()
        for y in range(max((y for _, y in places), default=-1) + 1):
            end = max((x for x, row in places if row == y), default=-1) + 1
            for x in range(end):
                char, style = self._cells.get((x, y)) or (_JOINTS.get(self._arms.get((x, y), 0), " "), "dim")
                picture.append(char, style=style)
            picture.append("\n")
        return picture
