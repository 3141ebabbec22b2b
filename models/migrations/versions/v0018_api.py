"""Replies that are kept under a key, and which workflows a version may call because its author might.

The rows of versions from before this have no `author_id`: what they call is not looked at, as it was not when they
were saved.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

STATEMENTS = [
    # Keys and bodies are kept as hashes alone: a body may hold a password. A reply that may be shown once has no body.
    """
    CREATE TABLE idempotent_reply (
        tenant_id uuid NOT NULL,
        actor_id uuid NOT NULL,
        key_hash bytea NOT NULL,
        request_digest bytea NOT NULL,
        status integer,
        headers jsonb,
        body bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, actor_id, key_hash)
    )
    """,
    "CREATE INDEX idempotent_reply_created_idx ON idempotent_reply (tenant_id, created_at)",
    "ALTER TABLE workflow_version ADD COLUMN author_id uuid",
    """
    CREATE TABLE workflow_call (
        tenant_id uuid NOT NULL,
        version_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        PRIMARY KEY (tenant_id, version_id, workflow_id),
        CONSTRAINT workflow_call_version_fkey FOREIGN KEY (tenant_id, version_id)
            REFERENCES workflow_version (tenant_id, id) ON DELETE CASCADE
    )
    """,
    *(
        statement
        for table, privileges in {
            "idempotent_reply": "SELECT, INSERT, UPDATE (status, headers, body), DELETE",
            "workflow_call": "SELECT, INSERT",
        }.items()
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))",
            f"GRANT {privileges} ON {table} TO structforge_app",
        )
    ),
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
