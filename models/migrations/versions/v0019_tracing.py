"""What the leading scheduler may see to count: workflows, and executions that are not over.

The trace of an execution needs no column: its id is the execution's.
"""

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = [
    "CREATE POLICY metrics_rows ON workflow FOR SELECT USING ((SELECT structforge_purpose()) = 'metrics')",
    """CREATE POLICY metrics_rows ON execution FOR SELECT
       USING ((SELECT structforge_purpose()) = 'metrics' AND finished_at IS NULL)""",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
