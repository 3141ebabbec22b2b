"""Approvals: what waits for people, and who started an execution.

`started_by` is empty for executions that no person started, and for those of versions before this one.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = [
    "ALTER TABLE execution ADD COLUMN started_by text NOT NULL DEFAULT ''",
    """
    CREATE TABLE approval (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        execution_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        workflow_name text NOT NULL,
        temporal_id text NOT NULL,
        node_path text NOT NULL,
        iteration integer[] NOT NULL,
        generation integer NOT NULL,
        execution_attempt integer NOT NULL DEFAULT 1,
        status text NOT NULL DEFAULT 'open'
            CHECK (status IN ('open', 'approved', 'rejected', 'timeout', 'cancelled')),
        message text NOT NULL DEFAULT '',
        form json,
        approvers text[] NOT NULL,
        quorum integer NOT NULL DEFAULT 1,
        allow_self boolean NOT NULL DEFAULT false,
        started_by text NOT NULL DEFAULT '',
        decisions json NOT NULL,
        deadline timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        closed_at timestamptz,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX approval_open_idx ON approval (tenant_id, id) WHERE status = 'open'",
    "CREATE INDEX approval_execution_idx ON approval (tenant_id, execution_id, node_path)",
    "ALTER TABLE approval ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE approval FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant_rows ON approval USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON approval TO structforge_app",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
