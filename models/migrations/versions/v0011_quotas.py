"""Quotas, the executions that wait for a slot, and the functions that hold both exactly.

Executions that no rule binds are created and closed as before. `execution.holds` and `release_holds` are not used any
more: what an execution holds follows from the rules and is counted under their locks.
"""

from alembic import op

from models.migrations import quota_admission, quota_counting, quota_hooks

revision = "0011"
down_revision = "0010"

TABLES = [
    """
    CREATE TABLE quota (
        tenant_id uuid NOT NULL,
        subject text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('workflows', 'executions', 'concurrent_executions', 'execution_seconds',
            'execution_timeout_s', 'nodes', 'stored_bytes', 'document')),
        period text NOT NULL DEFAULT '' CHECK (period IN ('', 'hour', 'day', 'month')),
        amount bigint NOT NULL CHECK (amount >= 0),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, subject, kind, period)
    )
    """,
    "ALTER TABLE quota_counter ADD COLUMN expires_at timestamptz",
    "CREATE INDEX quota_counter_expires_idx ON quota_counter (expires_at) WHERE expires_at IS NOT NULL",
    "ALTER TABLE execution ADD COLUMN reason text, ADD COLUMN released_at timestamptz, "
    "ADD COLUMN timeout_s double precision",
    "CREATE SEQUENCE waiting_execution_seq",
    """
    CREATE TABLE waiting_execution (
        tenant_id uuid NOT NULL,
        execution_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        version_id uuid NOT NULL,
        started_by text NOT NULL DEFAULT '',
        parent_execution_id uuid,
        priority smallint NOT NULL DEFAULT 3,
        position bigint NOT NULL DEFAULT nextval('waiting_execution_seq'),
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, execution_id)
    )
    """,
    "CREATE INDEX waiting_execution_order_idx ON waiting_execution (tenant_id, priority, position)",
    """CREATE INDEX waiting_execution_parent_idx ON waiting_execution (tenant_id, parent_execution_id)
       WHERE parent_execution_id IS NOT NULL""",
    "GRANT USAGE ON SEQUENCE waiting_execution_seq TO structforge_app",
    """CREATE POLICY relay_counters_seen ON quota_counter FOR SELECT
       USING ((SELECT structforge_purpose()) = 'relay' AND expires_at < now())""",
    """CREATE POLICY relay_counters ON quota_counter FOR DELETE
       USING ((SELECT structforge_purpose()) = 'relay' AND expires_at < now())""",
]

# Documents that were saved before set limits too. The owner is bound by the policies, so they are lifted for this.
DOCUMENTS = [
    "ALTER TABLE workflow_version NO FORCE ROW LEVEL SECURITY",
    """
    INSERT INTO quota (tenant_id, subject, kind, amount)
    SELECT v.tenant_id, 'version:' || v.id, 'document', (v.spec #>> '{settings,max_concurrent_executions}')::bigint
      FROM workflow_version v WHERE v.spec #>> '{settings,max_concurrent_executions}' ~ '^[1-9][0-9]{0,8}$'
    UNION
    SELECT v.tenant_id, 'workflow:' || v.workflow_id, 'document', 0
      FROM workflow_version v WHERE v.spec #>> '{settings,max_concurrent_executions}' ~ '^[1-9][0-9]{0,8}$'
    """,
    "ALTER TABLE workflow_version FORCE ROW LEVEL SECURITY",
]


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for statement in [*TABLES, *DOCUMENTS]:
        run(statement)
    for table in ("quota", "waiting_execution"):
        run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        run(f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))")
        run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO structforge_app")
    for function in [*quota_counting.FUNCTIONS, *quota_admission.FUNCTIONS, *quota_hooks.FUNCTIONS]:
        run(function)
    for trigger in quota_hooks.TRIGGERS:
        run(trigger)
    for signature in quota_hooks.PLANNED_ONCE:
        run(f"ALTER FUNCTION {signature} SET plan_cache_mode = force_generic_plan")
