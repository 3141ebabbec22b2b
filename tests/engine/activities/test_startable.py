from __future__ import annotations

from uuid import uuid4

import pytest

from engine.activities.startable import version_to_start
from engine.errors import Conflict
from models.tables import Workflow


def workflow(status: str, published: int | None) -> Workflow:
    return Workflow(
        tenant_id=uuid4(), id=uuid4(), name="w", status=status, latest_version=3, published_version=published
    )


@pytest.mark.parametrize(
    ("status", "published", "named", "outcome"),
    [
        ("active", 2, None, 2),
        ("active", 2, 1, 1),
        ("draft", None, None, "NOT_PUBLISHED"),
        ("draft", None, 3, 3),
        ("paused", 2, None, "WORKFLOW_PAUSED"),
        ("paused", 2, 2, "WORKFLOW_PAUSED"),
        ("archived", 2, 2, "WORKFLOW_ARCHIVED"),
        ("archived", None, None, "WORKFLOW_ARCHIVED"),
    ],
)
def test_status_and_publication_say_what_starts(
    status: str, published: int | None, named: int | None, outcome: int | str
) -> None:
    try:
        found: int | str = version_to_start(workflow(status, published), named)
    except Conflict as conflict:
        found = conflict.code
    assert found == outcome
