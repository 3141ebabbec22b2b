"""Where values and ends of statements are, by each dialect's rules of quoting."""

from __future__ import annotations

from typing import Any

import pytest

from engine.nodes.querying.statements import DIALECTS, Dialect, common_names, common_problem, driver_sql, read_statement

PG, MY, LITE = DIALECTS


def names(text: str, dialect: Dialect) -> list[str]:
    return sorted(read_statement(text, dialect).names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :a, :b_2 FROM t WHERE x=:a", ["a", "b_2"]),
        ("SELECT ':a', \":b\" -- :c\n, /* :d */ 1", []),
        ("SELECT 'it''s :a' || :b", ["b"]),
        ("SELECT 1 WHERE x = '12:30:00'", []),
        ("SELECT :a;", ["a"]),
        ("SELECT :a ; -- the end :b", ["a"]),
        ("SELECT x::text, :a", ["a"]),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_code_holds_parameters(text: str, expected: list[str], dialect: Dialect) -> None:
    assert names(text, dialect) == expected


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        (PG, "SELECT $$ :a ; $$, :b", ["b"]),
        (PG, "SELECT $f$ ':a; $$ $f$, :b", ["b"]),
        (PG, r"SELECT E'\':a', :b", ["b"]),
        (PG, r"SELECT 'C:\', :b", ["b"]),
        (PG, "SELECT a[1:2], f(x => :b)", ["b"]),
        (PG, "/* a /* ; */ :x */ SELECT :b", ["b"]),
        (PG, "SELECT data ? 'k', :b", ["b"]),
        (MY, r"SELECT 'a\':x', :b", ["b"]),
        (MY, 'SELECT "a\\":x", `:y`, :b # :z', ["b"]),
        (MY, "SELECT 5--:b", ["b"]),
        (MY, "SELECT @n := :b", ["b"]),
        (LITE, "SELECT [:a], `:c`, :b", ["b"]),
    ],
)
def test_quotes_and_comments_of_each_dialect(dialect: Dialect, text: str, expected: list[str]) -> None:
    assert names(text, dialect) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no statement"),
        ("-- nothing", "no statement"),
        (";", "no statement"),
        ("SELECT 1; SELECT 2", "only one statement"),
        ("SELECT 1;; DROP TABLE t", "only one statement"),
        ("SELECT 'open", "never closed"),
        ("SELECT 1 /* open", "comment is never closed"),
        ("BEGIN", "BEGIN is the node's own"),
        ("commit", "COMMIT is the node's own"),
        ("/* x */ ROLLBACK", "ROLLBACK is the node's own"),
        ("SET TRANSACTION READ WRITE", "SET is the node's own"),
        ("set session characteristics as transaction read write", "SET is the node's own"),
        ("SELECT 1" + " " * 100_000, "longer than"),
    ],
)
def test_what_is_no_single_statement_is_refused(text: str, says: str) -> None:
    assert says in (common_problem(text) or "")


@pytest.mark.parametrize(
    ("dialect", "text", "says"),
    [
        (MY, "SELECT 1 /*! ; DROP TABLE t */", "run by some servers"),
        (MY, "SELECT 1 /*M!100100 + 1 */", "run by some servers"),
        (MY, "LOCK TABLES t WRITE", "LOCK"),
        (MY, "SELECT ?", ":name"),
        (LITE, "SELECT ?1", ":name"),
        (LITE, "SELECT @a", ":name"),
        (LITE, "SELECT $a", ":name"),
        (PG, "SELECT $1", ":name"),
        (PG, "SELECT $a$ open", "never closed"),
        (LITE, "SELECT [open", "never closed"),
    ],
)
def test_refusals_of_one_dialect(dialect: Dialect, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_statement(text, dialect)


@pytest.mark.parametrize(
    ("dialect", "text", "parameters", "expected"),
    [
        (PG, ":a, :b, :a", {"a": 1, "b": 2}, ("$1, $2, $1", (1, 2))),
        (MY, ":a, '5%', :a", {"a": 1}, ("%s, '5%%', %s", (1, 1))),
        (LITE, ":a, '5%', :a", {"a": 1, "more": 0}, ("?, '5%', ?", (1, 1))),
        (PG, "x IN (:l)", {"l": [1, 2]}, ("x = ANY ($1)", ([1, 2],))),
        (PG, "x NOT IN ( :l )", {"l": []}, ("x <> ALL ($1 )", ([],))),
        (MY, "x in (:l)", {"l": [1, 2]}, ("x in (%s, %s)", (1, 2))),
        (LITE, "x IN (:l) AND :b", {"l": [1], "b": 3}, ("x IN (?) AND ?", (1, 3))),
        (LITE, "x IN (:l)", {"l": []}, ("x IN (SELECT NULL FROM (SELECT 1) AS no_rows WHERE 1 = 0)", ())),
        (LITE, "x IN (:a, :b)", {"a": 1, "b": 2}, ("x IN (?, ?)", (1, 2))),
        (PG, "x IN (:a)", {"a": 1}, ("x IN ($1)", (1,))),
    ],
)
def test_statement_for_the_driver(dialect: Dialect, text: str, parameters: dict[str, Any], expected: Any) -> None:
    assert driver_sql(read_statement(f"SELECT {text}", dialect), parameters) == (f"SELECT {expected[0]}", expected[1])


def test_missing_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="the parameter b is not given"):
        driver_sql(read_statement("SELECT :a, :b", PG), {"a": 1})


def test_names_that_only_some_dialects_see_are_not_demanded() -> None:
    assert common_names("SELECT :a, $$ :b $$") == {"a"}
    assert common_names(r"SELECT E'\':b', :a") <= {"a", "b"}
