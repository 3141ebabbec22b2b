"""Bounds on a document. Settings and quotas may lower them; the defaults are those of the product."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DOCUMENT_BYTES = 4_000_000
MAX_TREE_DEPTH = 100
LONGEST_EXPRESSION_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_nodes` counts bodies and handlers too; `max_body_depth` is how far bodies may nest.

    `max_expression_bytes` can only lower what the parser of expressions takes.
    """

    max_nodes: int = 10_000
    max_body_depth: int = 16
    max_expression_bytes: int = LONGEST_EXPRESSION_BYTES
    max_iterations: int = 10_000
    max_id_length: int = 100
    max_name_length: int = 200
