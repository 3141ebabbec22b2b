"""What the code of a plugin imports: how a node type is written, and nothing of the engine behind it.

    from structforge.plugin import NodeContext, NodeParams, NodeResult, ResultModel, node

Needs pydantic alone, so that the environment of an isolated plugin stays small.
"""

from __future__ import annotations

from engine.errors import (
    ACCESS_DENIED,
    EXECUTION_FAILED,
    EXTERNAL_ERROR,
    INVALID_CONFIG,
    OUTCOME_UNKNOWN,
    OUTPUT_TOO_LARGE,
    RATE_LIMITED,
    RESOURCE_EXHAUSTED,
    TIMEOUT,
    NodeError,
)
from engine.nodes.base import (
    Constant,
    Credential,
    Example,
    ItemExpression,
    NodeContext,
    NodeParams,
    NodeResult,
    ResultModel,
    node,
)
from engine.nodes.ports import FileEntry, HttpRequest, HttpResponse, required

__all__ = [
    "ACCESS_DENIED",
    "EXECUTION_FAILED",
    "EXTERNAL_ERROR",
    "INVALID_CONFIG",
    "OUTCOME_UNKNOWN",
    "OUTPUT_TOO_LARGE",
    "RATE_LIMITED",
    "RESOURCE_EXHAUSTED",
    "TIMEOUT",
    "Constant",
    "Credential",
    "Example",
    "FileEntry",
    "HttpRequest",
    "HttpResponse",
    "ItemExpression",
    "NodeContext",
    "NodeError",
    "NodeParams",
    "NodeResult",
    "ResultModel",
    "node",
    "required",
]
