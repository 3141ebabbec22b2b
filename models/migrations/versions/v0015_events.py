"""Events: what was published, which workflows wait for which types, what was started; and an outbox with retries.

PostgreSQL itself keeps the rows of event triggers equal to the published versions, in the transaction that publishes,
pauses, archives or deletes a workflow, so that no path can forget it. Messages about ends of executions are many, and
mostly nobody waits for them: `outbox_interest` says who does, beside event triggers; one statement settles the rest.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

_TENANT_ROWS = "USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
NOBODY = "00000000-0000-0000-0000-000000000000"

OUTBOX = [
    "ALTER TABLE outbox ADD COLUMN attempts integer NOT NULL DEFAULT 0",
    "ALTER TABLE outbox ADD COLUMN next_try timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE outbox ADD COLUMN parked_at timestamptz",
    "ALTER TABLE outbox ADD COLUMN failure text",
    "DROP INDEX outbox_undelivered_idx",
    "CREATE INDEX outbox_due_idx ON outbox (next_try) WHERE delivered_at IS NULL AND parked_at IS NULL",
    "CREATE INDEX outbox_parked_idx ON outbox (tenant_id, parked_at) WHERE parked_at IS NOT NULL",
    "CREATE INDEX outbox_delivered_idx ON outbox (delivered_at) WHERE delivered_at IS NOT NULL",
    # Who else waits for messages of a kind, of one workflow or (zeros) of all; rows of whoever handles them.
    f"""
    CREATE TABLE outbox_interest (
        tenant_id uuid NOT NULL,
        kind text NOT NULL,
        workflow_id uuid NOT NULL DEFAULT '{NOBODY}',
        listener text NOT NULL,
        PRIMARY KEY (tenant_id, kind, workflow_id, listener)
    )
    """,
]

TABLES = [
    """
    CREATE TABLE event (
        tenant_id uuid NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        source text NOT NULL,
        time timestamptz NOT NULL,
        data json,
        digest bytea NOT NULL,
        depth integer NOT NULL DEFAULT 0,
        about_workflow_id uuid,
        published_by text NOT NULL DEFAULT '',
        note text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX event_created_idx ON event (created_at)",
    """
    CREATE TABLE event_trigger (
        tenant_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        node_id text NOT NULL,
        version integer NOT NULL,
        pattern text NOT NULL,
        author text NOT NULL DEFAULT '',
        PRIMARY KEY (tenant_id, workflow_id, node_id)
    )
    """,
    "CREATE INDEX event_trigger_pattern_idx ON event_trigger (tenant_id, pattern)",
    """
    CREATE TABLE event_start (
        tenant_id uuid NOT NULL,
        event_id text NOT NULL,
        workflow_id uuid NOT NULL,
        node_id text NOT NULL,
        version integer NOT NULL,
        execution_id uuid,
        error json,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, event_id, workflow_id, node_id),
        CONSTRAINT event_start_event_fkey FOREIGN KEY (tenant_id, event_id)
            REFERENCES event (tenant_id, id) ON DELETE CASCADE
    )
    """,
]

PRIVILEGES = {
    "outbox_interest": "SELECT, INSERT, DELETE",
    "event": "SELECT, INSERT, UPDATE (note, settled_at), DELETE",
    "event_trigger": "SELECT, INSERT, DELETE",
    "event_start": "SELECT, INSERT, UPDATE (version, execution_id, error)",
}

POLICIES = [
    "CREATE POLICY relay_interests ON outbox_interest FOR SELECT USING ((SELECT structforge_purpose()) = 'relay')",
    "CREATE POLICY relay_triggers ON event_trigger FOR SELECT USING ((SELECT structforge_purpose()) = 'relay')",
    "CREATE POLICY reconcile_events_seen ON event FOR SELECT USING ((SELECT structforge_purpose()) = 'reconciler')",
    "CREATE POLICY reconcile_events ON event FOR DELETE USING ((SELECT structforge_purpose()) = 'reconciler')",
    "CREATE POLICY reconcile_messages_parked ON outbox FOR DELETE"
    " USING ((SELECT structforge_purpose()) = 'reconciler' AND parked_at IS NOT NULL)",
]

# The patterns that a type answers to: a.b.c, a.*, a.b.*.
PATTERNS = r"""
CREATE FUNCTION event_patterns(type text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[type] || coalesce(array_agg(array_to_string(parts[1:n], '.') || '.*'), '{}')
      FROM string_to_array(type, '.') AS parts, generate_series(1, cardinality(parts) - 1) AS n
$$
"""

# Ends of executions tell nobody at once: a notification takes a lock that all commits share. They are looked for.
TOLD = [
    """
    CREATE FUNCTION tell_of_message() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('structforge_outbox', '');
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER outbox_message AFTER INSERT ON outbox
    FOR EACH ROW WHEN (NEW.kind NOT IN ('execution.finished', 'execution_finished'))
    EXECUTE FUNCTION tell_of_message()
    """,
]

KEEP = """
CREATE FUNCTION write_event_triggers(tenant uuid, workflow uuid, published integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO event_trigger (tenant_id, workflow_id, node_id, version, pattern, author)
    SELECT v.tenant_id, v.workflow_id, n->>'id', v.number, n->'params'->>'event_type', v.author
      FROM workflow_version v, json_array_elements(v.spec->'nodes') n
     WHERE v.tenant_id = tenant AND v.workflow_id = workflow AND v.number = published
       AND n->>'type' = 'event' AND n->'params'->>'event_type' IS NOT NULL
    ON CONFLICT DO NOTHING
$$
"""

FOLLOW = """
CREATE FUNCTION keep_event_triggers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed workflow := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM event_trigger t WHERE t.tenant_id = changed.tenant_id AND t.workflow_id = changed.id;
    END IF;
    IF TG_OP = 'DELETE' OR changed.published_version IS NULL THEN
        RETURN NULL;
    END IF;
    IF changed.status = 'active' THEN
        PERFORM write_event_triggers(changed.tenant_id, changed.id, changed.published_version);
    END IF;
    IF (TG_OP = 'INSERT' OR OLD.published_version IS DISTINCT FROM NEW.published_version)
       AND EXISTS (SELECT FROM event_trigger t WHERE t.tenant_id = changed.tenant_id
                      AND t.pattern = ANY (event_patterns('structforge.workflow.published'))) THEN
        INSERT INTO outbox (tenant_id, kind, payload)
        VALUES (changed.tenant_id, 'workflow.published', jsonb_build_object('workflow_id', changed.id,
                'workflow', changed.name, 'version', changed.published_version));
    END IF;
    RETURN NULL;
END $$
"""

# The version is written after the workflow it belongs to, and in the same transaction.
FOLLOWED = [
    """
    CREATE CONSTRAINT TRIGGER workflow_made_events AFTER INSERT ON workflow DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.published_version IS NOT NULL) EXECUTE FUNCTION keep_event_triggers()
    """,
    """
    CREATE TRIGGER workflow_gone_events AFTER DELETE ON workflow
    FOR EACH ROW EXECUTE FUNCTION keep_event_triggers()
    """,
    """
    CREATE TRIGGER workflow_changed_events AFTER UPDATE ON workflow
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status
                       OR OLD.published_version IS DISTINCT FROM NEW.published_version)
    EXECUTE FUNCTION keep_event_triggers()
    """,
]

# Rows of successes never come here; of failures, one look at an index tells whether anybody waits for them.
NODES = [
    """
    CREATE FUNCTION tell_of_failed_node() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM event_trigger t WHERE t.tenant_id = NEW.tenant_id
                      AND t.pattern = ANY (ARRAY['structforge.*', 'structforge.node.*', 'structforge.node.failed']))
        THEN
            INSERT INTO outbox (tenant_id, kind, payload)
            VALUES (NEW.tenant_id, 'node.failed', jsonb_build_object(
                'execution_id', NEW.execution_id, 'node', NEW.node_path, 'node_type', NEW.node_type,
                'iteration', NEW.iteration, 'generation', NEW.generation, 'execution_attempt', NEW.execution_attempt,
                'code', NEW.error->>'code', 'message', left(NEW.error->>'message', 1000)));
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER node_failed AFTER INSERT ON node_execution
    FOR EACH ROW WHEN (NEW.status = 'failed') EXECUTE FUNCTION tell_of_failed_node()
    """,
    """
    CREATE TRIGGER node_failed_later AFTER UPDATE ON node_execution
    FOR EACH ROW WHEN (NEW.status = 'failed'
                       AND (OLD.status <> 'failed' OR OLD.execution_attempt <> NEW.execution_attempt))
    EXECUTE FUNCTION tell_of_failed_node()
    """,
]

# How many events led to an execution, through its parents: what it publishes is one deeper.
DEPTH = """
CREATE FUNCTION event_depth_of(tenant uuid, execution uuid) RETURNS integer LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above (parent_id, depth, level) AS (
        SELECT coalesce(e.parent_execution_id, e.rerun_of), e.metadata->'event_depth', 1 FROM execution e
         WHERE e.tenant_id = event_depth_of.tenant AND e.id = event_depth_of.execution
        UNION ALL
        SELECT coalesce(e.parent_execution_id, e.rerun_of), e.metadata->'event_depth', a.level + 1 FROM above a
          JOIN execution e ON e.tenant_id = event_depth_of.tenant AND e.id = a.parent_id WHERE a.level < 20
    )
    SELECT coalesce(max(least(a.depth::numeric, 1000)) FILTER (WHERE jsonb_typeof(a.depth) = 'number'), 0)::integer
      FROM above a
$$
"""

# Whether the author of a version may see a workflow: a key of no person sees all, as it does over HTTP.
SIGHT = f"""
CREATE FUNCTION author_sees(tenant uuid, author text, workflow uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    person uuid;
BEGIN
    SELECT m.user_id INTO person FROM membership m JOIN user_account a ON a.id = m.user_id
     WHERE m.tenant_id = author_sees.tenant AND m.accepted_at IS NOT NULL
       AND (a.email = lower(author_sees.author) OR a.id::text = author_sees.author) LIMIT 1;
    IF person IS NULL AND position('@' IN author_sees.author) = 0 THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM membership m WHERE m.tenant_id = author_sees.tenant AND m.user_id = person
                      AND m.role = 'admin')
        OR EXISTS (SELECT FROM workflow_grant g WHERE g.tenant_id = author_sees.tenant
                      AND g.workflow_id = author_sees.workflow
                      AND g.member_id IN (coalesce(person, '{NOBODY}'), '{NOBODY}'));
END $$
"""

BACKFILL = """
    INSERT INTO event_trigger (tenant_id, workflow_id, node_id, version, pattern, author)
    SELECT v.tenant_id, v.workflow_id, n->>'id', v.number, n->'params'->>'event_type', v.author
      FROM workflow w JOIN workflow_version v
        ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id AND v.number = w.published_version,
           json_array_elements(v.spec->'nodes') n
     WHERE w.status = 'active' AND n->>'type' = 'event' AND n->'params'->>'event_type' IS NOT NULL
    ON CONFLICT DO NOTHING
"""

CALLED = [
    "event_patterns(text)",
    "write_event_triggers(uuid, uuid, integer)",
    "event_depth_of(uuid, uuid)",
    "author_sees(uuid, text, uuid)",
]
TRIGGER_FUNCTIONS = ["tell_of_message()", "keep_event_triggers()", "tell_of_failed_node()"]


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for statement in [*OUTBOX, *TABLES]:
        run(statement)
    _fill()
    for table, privileges in PRIVILEGES.items():
        run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        run(f"CREATE POLICY tenant_rows ON {table} {_TENANT_ROWS}")
        run(f"GRANT {privileges} ON {table} TO structforge_app")
    for statement in [*POLICIES, PATTERNS, *TOLD, KEEP, FOLLOW, *FOLLOWED, *NODES, DEPTH, SIGHT]:
        run(statement)
    for function in [*CALLED, *TRIGGER_FUNCTIONS]:
        run(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    for function in CALLED:
        run(f"GRANT EXECUTE ON FUNCTION {function} TO structforge_app")


def _fill() -> None:
    """The triggers of what is published already; the migrating role sees all tenants for that long."""
    run = op.get_bind().exec_driver_sql
    tables = ("workflow", "workflow_version")
    for table in tables:
        run(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    run(BACKFILL)
    for table in tables:
        run(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
