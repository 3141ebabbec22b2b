"""Schedules, and the word to the scheduler when one of them, or what it starts, has changed.

The scheduler works for all tenants, under policies of its own purpose: it reads workflows and versions, and keeps the
rows of timer nodes. A lease names the one process that does so; its epoch grows with each change of leader.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = [
    """
    CREATE TABLE schedule (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        name text NOT NULL,
        source text NOT NULL DEFAULT 'api' CHECK (source IN ('api', 'timer')),
        trigger_node text,
        cron text,
        every_s double precision CHECK (every_s >= 1),
        at timestamptz,
        timezone text NOT NULL DEFAULT 'UTC',
        jitter_s double precision NOT NULL DEFAULT 0 CHECK (jitter_s >= 0),
        overlap text NOT NULL DEFAULT 'skip' CHECK (overlap IN
            ('skip', 'buffer_one', 'buffer_all', 'cancel_other', 'terminate_other', 'allow_all')),
        catchup_window_s double precision NOT NULL DEFAULT 3600 CHECK (catchup_window_s >= 10),
        starts_at timestamptz,
        ends_at timestamptz,
        max_runs integer CHECK (max_runs > 0),
        enabled boolean NOT NULL DEFAULT true,
        paused boolean NOT NULL DEFAULT false,
        input json,
        started_by text NOT NULL DEFAULT '',
        revision integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT schedule_name_key UNIQUE (tenant_id, workflow_id, name),
        CONSTRAINT schedule_one_way CHECK (num_nonnulls(cron, every_s, at) = 1)
    )
    """,
    "CREATE INDEX schedule_workflow_idx ON schedule (tenant_id, workflow_id)",
    "ALTER TABLE schedule ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE schedule FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant_rows ON schedule USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))",
    "CREATE POLICY scheduler_rows ON schedule FOR SELECT USING ((SELECT structforge_purpose()) = 'scheduler')",
    "CREATE POLICY scheduler_rows ON workflow FOR SELECT USING ((SELECT structforge_purpose()) = 'scheduler')",
    "CREATE POLICY scheduler_rows ON workflow_version FOR SELECT USING ((SELECT structforge_purpose()) = 'scheduler')",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON schedule TO structforge_app",
    # One leader of a kind in the installation; not a tenant's, and without a secret.
    """
    CREATE TABLE leadership (
        kind text PRIMARY KEY, epoch bigint NOT NULL DEFAULT 0, holder text NOT NULL, since timestamptz
    )
    """,
    "GRANT SELECT, INSERT, UPDATE ON leadership TO structforge_app",
    """
    CREATE FUNCTION tell_of_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        changed schedule := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    BEGIN
        PERFORM pg_notify('structforge_schedules', changed.tenant_id || ' ' || changed.workflow_id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER schedule_changed AFTER INSERT OR UPDATE OR DELETE ON schedule
    FOR EACH ROW EXECUTE FUNCTION tell_of_schedule()
    """,
    """
    CREATE FUNCTION tell_of_workflow() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        changed workflow := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    BEGIN
        IF TG_OP = 'DELETE' THEN
            DELETE FROM schedule s WHERE s.tenant_id = OLD.tenant_id AND s.workflow_id = OLD.id;
        END IF;
        PERFORM pg_notify('structforge_schedules', changed.tenant_id || ' ' || changed.id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER workflow_removed AFTER INSERT OR DELETE ON workflow
    FOR EACH ROW EXECUTE FUNCTION tell_of_workflow()
    """,
    """
    CREATE TRIGGER workflow_changed AFTER UPDATE ON workflow
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status
                       OR OLD.published_version IS DISTINCT FROM NEW.published_version)
    EXECUTE FUNCTION tell_of_workflow()
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    for function in ("tell_of_schedule()", "tell_of_workflow()"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
