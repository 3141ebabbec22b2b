"""Notifications: whom to tell of what, and each message that goes out.

The outbox says what happened; a row of `notification` is one message about it to one receiver, so that an event that is
handed on twice is told once. Near a quota's end the functions that count it say so, once a period: `quota_notice`
remembers that they have. Of most executions that end nobody wants to hear: rules, and documents that name receivers,
say in `outbox_interest` of which workflows they do.
"""

from alembic import op

from models.migrations.quota_notices import FUNCTIONS

revision = "0017"
down_revision = "0016"

NOBODY = "00000000-0000-0000-0000-000000000000"  # stands for every workflow
# Documents that were saved before; the migrating role sees all tenants for that long.
FILL = [
    "ALTER TABLE workflow_version NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE outbox_interest NO FORCE ROW LEVEL SECURITY",
    """
    INSERT INTO outbox_interest (tenant_id, kind, workflow_id, listener)
    SELECT DISTINCT tenant_id, 'execution.finished', workflow_id, 'document' FROM workflow_version
     WHERE spec #> '{settings,notifications,0}' IS NOT NULL
    """,
    "ALTER TABLE workflow_version FORCE ROW LEVEL SECURITY",
    "ALTER TABLE outbox_interest FORCE ROW LEVEL SECURITY",
]

STATEMENTS = [
    """
    CREATE TABLE notification_rule (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        events text[] NOT NULL,
        workflow_id uuid,
        tag text,
        via text NOT NULL CHECK (via IN ('email', 'webhook')),
        targets text[] NOT NULL,
        credential text,
        template json,
        include_output boolean NOT NULL DEFAULT false,
        enabled boolean NOT NULL DEFAULT true,
        created_by text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT notification_rule_name_key UNIQUE (tenant_id, name)
    )
    """,
    """
    CREATE TABLE notification (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        outbox_id uuid NOT NULL,
        event text NOT NULL,
        via text NOT NULL,
        target text NOT NULL,
        rule_id uuid,
        workflow_id uuid,
        execution_id uuid,
        approval_id uuid,
        facts json NOT NULL,
        template json,
        credential text,
        include_output boolean NOT NULL DEFAULT false,
        status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sending', 'sent', 'dead')),
        attempts integer NOT NULL DEFAULT 0,
        round integer NOT NULL DEFAULT 0,
        error json,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        sent_at timestamptz,
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT notification_once_key UNIQUE (tenant_id, outbox_id, target)
    )
    """,
    "CREATE INDEX notification_execution_idx ON notification (tenant_id, execution_id)",
    "CREATE INDEX notification_dead_idx ON notification (tenant_id, id) WHERE status = 'dead'",
    """
    CREATE TABLE quota_notice (
        tenant_id uuid NOT NULL,
        kind text NOT NULL,
        subject text NOT NULL,
        period text NOT NULL,
        since timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, kind, subject, period)
    )
    """,
    *(
        statement
        for table in ("notification_rule", "notification", "quota_notice")
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO structforge_app",
        )
    ),
    # Old messages go whosever they are.
    """CREATE POLICY reconciler_seen ON notification FOR SELECT
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    """CREATE POLICY reconciler_rows ON notification FOR DELETE
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    # Which ends of executions somebody wants to hear of: a rule's workflow or all, and documents that say so.
    f"""
    CREATE FUNCTION keep_rule_interest() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            DELETE FROM outbox_interest i
             WHERE i.tenant_id = OLD.tenant_id AND i.listener = 'notification_rule:' || OLD.id;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            IF NEW.enabled AND NEW.events && ARRAY['failed', 'succeeded', 'cancelled', 'timed_out'] THEN
                INSERT INTO outbox_interest (tenant_id, kind, workflow_id, listener)
                VALUES (NEW.tenant_id, 'execution.finished', coalesce(NEW.workflow_id, '{NOBODY}'),
                        'notification_rule:' || NEW.id) ON CONFLICT DO NOTHING;
            END IF;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER notification_rule_interest AFTER INSERT OR UPDATE OR DELETE ON notification_rule
    FOR EACH ROW EXECUTE FUNCTION keep_rule_interest()
    """,
    """
    CREATE FUNCTION keep_document_interest() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO outbox_interest (tenant_id, kind, workflow_id, listener)
        VALUES (NEW.tenant_id, 'execution.finished', NEW.workflow_id, 'document') ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER workflow_version_interest AFTER INSERT ON workflow_version
    FOR EACH ROW WHEN (NEW.spec #> '{settings,notifications,0}' IS NOT NULL) EXECUTE FUNCTION keep_document_interest()
    """,
    """
    CREATE FUNCTION drop_interest() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM notification_rule r WHERE r.tenant_id = OLD.tenant_id AND r.workflow_id = OLD.id;
        DELETE FROM outbox_interest i
         WHERE i.tenant_id = OLD.tenant_id AND i.workflow_id = OLD.id AND i.listener = 'document';
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER workflow_gone_interest AFTER DELETE ON workflow FOR EACH ROW EXECUTE FUNCTION drop_interest()
    """,
    *(
        f"REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC"
        for name in ("keep_rule_interest", "keep_document_interest", "drop_interest")
    ),
    *FUNCTIONS,
    "REVOKE EXECUTE ON FUNCTION quota_near(uuid, text, text, text, bigint, bigint, bigint) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION quota_near(uuid, text, text, text, bigint, bigint, bigint) TO structforge_app",
]


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for statement in [*STATEMENTS, *FILL]:
        run(statement)
