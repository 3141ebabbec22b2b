"""Members whose names are Python keywords: `nodes.check.ports.else`, `input.from`, `item.class`.

Python's grammar has no such attribute. Each keyword right behind a dot is parsed as a name of the same length, so
that all positions stay, and the syntax tree gets the keyword back. Strings, f-strings too, are left as they are.
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize

Marks = dict[tuple[int, int], str]  # (line, end in UTF-8 bytes) of an attribute -> the keyword that stands there

_SUSPECT = re.compile(rf"\.(?:{'|'.join(keyword.kwlist)})\b")
_STRING_STARTS = ("FSTRING_START", "TSTRING_START")
_STRING_ENDS = ("FSTRING_END", "TSTRING_END")


def without_keywords(text: str) -> tuple[str, Marks]:
    """The text with every keyword behind a dot replaced by a plain name, and where they stood."""
    if _SUSPECT.search(text) is None:
        return text, {}
    lines = text.splitlines(keepends=True)
    marks: Marks = {}
    for token in _members(text):
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1]
        lines[row - 1] = line[:start] + "x" * (end - start) + line[end:]
        marks[(row, len(line[:end].encode("utf-8", "surrogatepass")))] = token.string
    return "".join(lines), marks


def _members(text: str) -> list[tokenize.TokenInfo]:
    """The keywords right behind a dot, outside of strings; as far as the text can be read."""
    found: list[tokenize.TokenInfo] = []
    depth, previous = 0, None
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = tokenize.tok_name[token.type]
            depth += (kind in _STRING_STARTS) - (kind in _STRING_ENDS)
            behind_dot = previous is not None and previous.string == "." and previous.end == token.start
            if behind_dot and not depth and kind == "NAME" and keyword.iskeyword(token.string):
                found.append(token)
            previous = token
    except (tokenize.TokenError, SyntaxError):
        return found  # parsing will say what is wrong
    return found


def with_keywords(tree: ast.expr, marks: Marks) -> ast.expr:
    """The syntax tree with the keywords in their places again."""
    for node in ast.walk(tree) if marks else ():
        if isinstance(node, ast.Attribute):
            place = (node.end_lineno or 0, node.end_col_offset or 0)
            node.attr = marks.get(place, node.attr)
    return tree
