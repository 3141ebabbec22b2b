"""Lists whose cost grew with all that is on record: failures, one person's executions, and the longest.

Each index holds what its list shows and little more. An execution that succeeds without a person costs one entry, when
it ends.
"""

from alembic import op

revision = "0022"
down_revision = "0021"

STATEMENTS = [
    """
    CREATE INDEX execution_problem_idx ON execution (tenant_id, id)
        WHERE status IN ('failed', 'cancelled', 'timed_out')
    """,
    "CREATE INDEX execution_person_idx ON execution (tenant_id, started_by, id) WHERE started_by <> ''",
    "CREATE INDEX execution_duration_idx ON execution (tenant_id, duration_ms, id) WHERE duration_ms IS NOT NULL",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
