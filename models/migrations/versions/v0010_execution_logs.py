"""Logs of executions by batch, reruns by their model, and bulk commands that may be repeated.

`append_log_lines` takes a lock for each tenant of the batch, so that lines become visible in the order of `seq`:
whoever follows a log by the last `seq` seen misses none.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

LINES = """
CREATE TYPE execution_log_row AS (
    tenant_id uuid, execution_id uuid, node_path text, iteration integer[], attempt integer, level text, message text,
    fields jsonb, at timestamptz)
"""

# 7102 tells these locks from any other.
APPEND = """
CREATE FUNCTION append_log_lines(tenants text, lines execution_log_row[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    tenants_set text := set_config('structforge.tenants', tenants, true);
BEGIN
    PERFORM pg_advisory_xact_lock(7102, k.hash)
       FROM (SELECT DISTINCT hashtext(l.tenant_id::text) AS hash FROM unnest(lines) l ORDER BY 1) k;
    INSERT INTO execution_log (tenant_id, execution_id, node_path, iteration, attempt, level, message, fields, at)
    SELECT l.* FROM unnest(lines) l;
END $$
"""

SIGNATURE = "append_log_lines(text, execution_log_row[])"

STATEMENTS = [
    "DROP INDEX execution_log_node_idx",
    "CREATE INDEX execution_log_node_seq_idx ON execution_log (tenant_id, execution_id, node_path, seq)",
    """CREATE INDEX execution_log_problem_idx ON execution_log (tenant_id, execution_id, seq)
       WHERE level IN ('warning', 'error')""",
    "CREATE INDEX execution_rerun_idx ON execution (tenant_id, rerun_of) WHERE rerun_of IS NOT NULL",
    """
    CREATE TABLE bulk_request (
        tenant_id uuid NOT NULL,
        key text NOT NULL,
        request_digest bytea NOT NULL,
        execution_ids uuid[] NOT NULL,
        results json,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, key)
    )
    """,
    "CREATE INDEX bulk_request_created_idx ON bulk_request (tenant_id, created_at)",
    "ALTER TABLE bulk_request ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE bulk_request FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant_rows ON bulk_request USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON bulk_request TO structforge_app",
    f"REVOKE EXECUTE ON FUNCTION {SIGNATURE} FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO structforge_app",
]


def upgrade() -> None:
    for statement in [LINES, APPEND, *STATEMENTS]:
        op.get_bind().exec_driver_sql(statement)
