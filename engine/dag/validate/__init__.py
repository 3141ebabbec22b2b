"""Validation: all that can be known to be wrong with a document before it runs, every issue at once.

Nothing is evaluated. The catalogue of node types and the parser of expressions are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.dag.catalogue import NodeCatalogue
from engine.dag.input_schema import schema_issues
from engine.dag.limits import Limits
from engine.dag.paths import sort_issues
from engine.dag.references import ReferenceParser
from engine.dag.spec import WorkflowSpec
from engine.dag.validate.containers import check_containers
from engine.dag.validate.cycles import check_cycles
from engine.dag.validate.edges import check_edges
from engine.dag.validate.ids import check_ids
from engine.dag.validate.outline import Outline, outline_of
from engine.dag.validate.policies import check_policies
from engine.dag.validate.references import check_references
from engine.dag.validate.sizes import check_sizes
from engine.dag.validate.triggers import check_triggers
from engine.dag.validate.types import check_params, check_types
from engine.dag.validate.variables import check_variables
from engine.errors import Issue

__all__ = ["Limits", "validate"]

_Check = Callable[[Outline], Iterator[Issue]]
_CHEAP: tuple[_Check, ...] = (check_ids, check_types, check_edges, check_cycles, check_policies, check_containers)
_THOROUGH: tuple[_Check, ...] = (check_params, check_triggers, check_references, check_variables)


def validate(
    spec: WorkflowSpec, catalogue: NodeCatalogue, parser: ReferenceParser, limits: Limits | None = None
) -> list[Issue]:
    """Every issue of a document that `parse_spec` gave, in document order; no errors among them means it can run.

    A document over the limit of nodes is checked for what takes linear time only.
    """
    outline = outline_of(spec, catalogue, parser, limits or Limits())
    issues = list(check_sizes(outline))
    if spec.inputs:
        issues.extend(schema_issues(spec.inputs, "inputs"))
    for check in _CHEAP if issues and issues[0].code == "TOO_MANY_NODES" else (*_CHEAP, *_THOROUGH):
        issues.extend(check(outline))
    return sort_issues(issues)
