"""Source text of one expression -> Expression. Nothing is ever evaluated here."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.expressions.faults import EXPRESSION_SYNTAX, EXPRESSION_TOO_LONG, ExpressionFault
from engine.expressions.jsondata import NotJson, check_json
from engine.expressions.members import with_keywords, without_keywords
from engine.expressions.paths import Path
from engine.expressions.rewrite import Rewriter, static_path

MAX_EXPRESSION_BYTES = 4096
_TOO_DEEP = "the expression is nested too deeply"


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A parsed expression: a constant, a plain path, or code for the sandbox with `paths` as its parameters."""

    source: str
    paths: tuple[Path, ...] = ()
    code: str = ""  # Python, over the parameters _sf_0, _sf_1, …
    path: Path | None = None  # the whole expression is this plain path
    constant: bool = False
    value: Any = None

    @property
    def computed(self) -> bool:
        """Whether it takes the sandbox."""
        return not self.constant and self.path is None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(path.root for path in self.paths)


@lru_cache(maxsize=8192)
def parse_expression(source: str) -> Expression:
    """Parse the text between the braces.

    Raises: ExpressionFault.
    """
    text = source.strip()
    if len(text.encode("utf-8", "surrogatepass")) > MAX_EXPRESSION_BYTES:
        raise ExpressionFault(
            EXPRESSION_TOO_LONG,
            f"an expression may have {MAX_EXPRESSION_BYTES} bytes",
            "move the work into a script node",
        )
    if not text:
        raise ExpressionFault(EXPRESSION_SYNTAX, "the expression is empty", "write a value between {{ and }}")
    return _compile(text, syntax_tree(text))


def _compile(text: str, tree: ast.expr) -> Expression:
    if isinstance(tree, ast.Constant):
        return _constant(text, tree)
    try:
        rewriter = Rewriter(tree)
        whole = static_path(tree)
        rewritten = rewriter.visit(tree)
        paths = tuple(rewriter.paths)
        if whole is not None and paths == (whole,):
            return Expression(text, paths, path=whole)
        return Expression(text, paths, ast.unparse(ast.fix_missing_locations(rewritten)))
    except RecursionError:
        raise ExpressionFault(EXPRESSION_SYNTAX, _TOO_DEEP) from None
    except ValueError as error:  # an integer literal too large to be written out
        raise ExpressionFault(EXPRESSION_SYNTAX, str(error)) from None


def _constant(text: str, tree: ast.Constant) -> Expression:
    try:
        check_json(tree.value)
        str(tree.value).encode()
    except (NotJson, ValueError) as error:
        raise ExpressionFault(EXPRESSION_SYNTAX, f"no JSON data: {error}") from None
    return Expression(text, constant=True, value=tree.value)


def syntax_tree(text: str) -> ast.expr:
    """The syntax tree of an expression; line breaks count as spaces, and a member may be named like a keyword.

    Raises: ExpressionFault, whatever the text holds.
    """
    if "\n" in text and "'''" not in text and '"""' not in text:
        text = text.replace("\r", " ").replace("\n", " ")
    text, marks = without_keywords(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1 is 1` or an odd escape is the author's business, not our log's
            tree = ast.parse(text, mode="eval").body
            compile(text, "<expression>", "eval", dont_inherit=True)  # `*a`, `f(x=1, x=2)`: found by the compiler alone
            return with_keywords(tree, marks)
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise ExpressionFault(EXPRESSION_SYNTAX, f"{error.msg}{where}", _syntax_hint(text)) from None
    except (RecursionError, MemoryError):
        raise ExpressionFault(EXPRESSION_SYNTAX, _TOO_DEEP) from None
    except ValueError as error:  # null bytes, lone surrogates
        raise ExpressionFault(EXPRESSION_SYNTAX, str(error)) from None


def _syntax_hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return "write `and` and `or`"
    if "?" in text:
        return "write `a if condition else b`"
    if "{{" in text:
        return "leave the braces out, or put them round the whole expression"
    return "an expression is one Python expression"
