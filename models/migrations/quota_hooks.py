"""SQL of revision 0011: the functions that start and close executions, and triggers of saved workflows, with quotas."""

# Both are those of revision 0006. `holds` is null unless this call closed the execution; then it says whether it was
# waiting for a slot.
CLOSE = """
CREATE OR REPLACE FUNCTION close_execution(closing execution_closing, present_limit integer) RETURNS execution_closed
LANGUAGE plpgsql AS $$
DECLARE
    answer execution_closed;
    now_finished timestamptz;
    terminal bigint;
    unfinished bigint;
    total numeric;
    begun timestamptz;
    waits text;
BEGIN
    answer.execution_id := closing.execution_id;
    answer.closed := false;
    SELECT e.status, e.finished_at, e.reason INTO answer.status, now_finished, waits FROM execution e
     WHERE e.tenant_id = closing.tenant_id AND e.id = closing.execution_id FOR UPDATE;
    answer.found := FOUND;
    IF NOT answer.found THEN
        RETURN answer;
    END IF;
    IF now_finished IS NOT NULL THEN
        answer.closed := true;
        RETURN answer;
    END IF;
    SELECT count(*) FILTER (WHERE node_status_rank(n.status) = 4),
           count(*) FILTER (WHERE node_status_rank(n.status) < 4),
           coalesce(sum(n.digest) FILTER (WHERE node_status_rank(n.status) = 4), 0), min(n.started_at)
      INTO terminal, unfinished, total, begun
      FROM node_execution n WHERE n.tenant_id = closing.tenant_id AND n.execution_id = closing.execution_id;
    IF NOT closing.final
       AND (terminal <> closing.expected_count OR total % 9223372036854775808 <> closing.expected_digest) THEN
        SELECT jsonb_agg(jsonb_build_array(p.node_path, p.iteration, p.generation, p.digest)) INTO answer.present
          FROM (SELECT n.node_path, n.iteration, n.generation, n.digest FROM node_execution n
                 WHERE n.tenant_id = closing.tenant_id AND n.execution_id = closing.execution_id
                   AND node_status_rank(n.status) = 4 LIMIT present_limit) p;
        answer.present := coalesce(answer.present, '[]');
        IF answer.status = 'pending' AND terminal + unfinished > 0 THEN
            UPDATE execution e SET status = 'running', started_at = coalesce(e.started_at, closing.finished_at)
             WHERE e.tenant_id = closing.tenant_id AND e.id = closing.execution_id;
        END IF;
        RETURN answer;
    END IF;
    IF unfinished > 0 THEN
        -- What some lost worker once began and the interpreter never counted must not look as if it still ran.
        UPDATE node_execution n SET status = 'cancelled', reason = 'abandoned', seq = nextval('node_execution_seq'),
               finished_at = closing.finished_at
         WHERE n.tenant_id = closing.tenant_id AND n.execution_id = closing.execution_id
           AND node_status_rank(n.status) < 4;
    END IF;
    UPDATE execution e SET status = closing.status, output = closing.output, error = closing.error,
           attempt = closing.attempt, handled_failures = closing.handled_failures, reason = NULL,
           started_at = coalesce(e.started_at, begun, closing.finished_at), finished_at = closing.finished_at,
           duration_ms = greatest(0, coalesce(extract(epoch FROM closing.finished_at
               - coalesce(e.started_at, begun)), 0) * 1000),
           expected_count = closing.expected_count, expected_digest = closing.expected_digest
     WHERE e.tenant_id = closing.tenant_id AND e.id = closing.execution_id;
    INSERT INTO outbox (tenant_id, kind, payload)
    SELECT closing.tenant_id, m->>'kind', m->'payload' FROM jsonb_array_elements(closing.messages) m;
    answer.holds := CASE WHEN waits IS NULL THEN 'false' ELSE 'true' END;
    answer.closed := true;
    answer.status := closing.status;
    RETURN answer;
END $$
"""

# Quotas come last, when every row of the call is locked: see the order of locks in `quota_counting`.
WRITE = """
CREATE OR REPLACE FUNCTION write_outcomes(
    tenants text, outcomes node_execution_row[], settled node_execution_row[],
    closings execution_closing[], present_limit integer
) RETURNS SETOF execution_closed
LANGUAGE plpgsql AS $$
DECLARE
    closing execution_closing;
    answer execution_closed;
    tenants_set text := set_config('structforge.tenants', tenants, true);
    closing_ids uuid[] := '{}';
    closed_tenants uuid[] := '{}';
    closed_ids uuid[] := '{}';
    waited boolean[] := '{}';
BEGIN
    FOREACH closing IN ARRAY closings LOOP
        closing_ids := closing_ids || closing.execution_id;
    END LOOP;
    IF cardinality(outcomes) > 0 THEN
        PERFORM record_node_executions(outcomes, false, closing_ids);
    END IF;
    IF cardinality(settled) > 0 THEN
        PERFORM record_node_executions(settled, true, closing_ids);
    END IF;
    FOREACH closing IN ARRAY closings LOOP
        answer := close_execution(closing, present_limit);
        IF answer.holds IS NOT NULL THEN
            closed_tenants := closed_tenants || closing.tenant_id;
            closed_ids := closed_ids || closing.execution_id;
            waited := waited || (answer.holds)::boolean;
            answer.holds := NULL;
        END IF;
        RETURN NEXT answer;
    END LOOP;
    IF cardinality(closed_tenants) > 0 THEN
        PERFORM settle_executions(closed_tenants, closed_ids, waited);
    END IF;
END $$
"""

# A tenant without rules pays for one lock in memory and one look at an index. Its parameter `holds` is not used any
# more: it stays for processes of the version before.
CREATE = """
CREATE OR REPLACE FUNCTION create_execution(
    tenant uuid, id uuid, workflow_id uuid, version_id uuid, workflow_name text, trigger text, trigger_node text,
    input json, parent_execution_id uuid, rerun_of uuid, node_total integer, priority smallint, labels jsonb,
    holds jsonb, rerun_from text, started_by text, kind text, key text, request_digest bytea
) RETURNS SETOF execution
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenants_set text := set_config('structforge.tenants', '{' || tenant || '}', true);
    rules_held text := pg_advisory_xact_lock_shared(quota_lock(tenant, 'rules'))::text;
    limited boolean;
    waits boolean := false;
    bound double precision;
BEGIN
    SELECT EXISTS (SELECT FROM quota q WHERE q.tenant_id = create_execution.tenant) INTO limited;
    IF limited THEN
        PERFORM pg_advisory_xact_lock(quota_lock(create_execution.tenant, 'counters'));
    END IF;
    IF create_execution.kind IS NOT NULL THEN
        INSERT INTO idempotency_key (tenant_id, kind, key, execution_id, request_digest)
        VALUES (create_execution.tenant, create_execution.kind, create_execution.key, create_execution.id,
                create_execution.request_digest)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    IF limited THEN
        IF EXISTS (SELECT FROM execution e
                    WHERE e.tenant_id = create_execution.tenant AND e.id = create_execution.id) THEN
            RETURN;
        END IF;
        SELECT a.queued, a.bound INTO waits, bound
          FROM admit_execution(create_execution.tenant, create_execution.id, create_execution.workflow_id,
                               create_execution.version_id, create_execution.started_by,
                               create_execution.parent_execution_id, create_execution.priority) a;
    END IF;
    RETURN QUERY
    INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name, trigger, trigger_node, input,
                           parent_execution_id, rerun_of, node_total, priority, metadata, rerun_from, started_by,
                           reason, timeout_s)
    VALUES (create_execution.tenant, create_execution.id, create_execution.workflow_id, create_execution.version_id,
            create_execution.workflow_name, create_execution.trigger, create_execution.trigger_node,
            create_execution.input, create_execution.parent_execution_id, create_execution.rerun_of,
            create_execution.node_total, create_execution.priority, create_execution.labels,
            create_execution.rerun_from, create_execution.started_by, CASE WHEN waits THEN 'queued' END, bound)
    ON CONFLICT (tenant_id, id) DO NOTHING RETURNING *;
END $$
"""

# Archived workflows take no place. The lock is one of its own, so that nothing waits for it while it holds another.
WORKFLOWS = """
CREATE FUNCTION bound_workflows() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    rule record;
    used bigint;
BEGIN
    IF NEW.status = 'archived'
       OR (TG_OP = 'UPDATE' AND OLD.status <> 'archived' AND OLD.owner = NEW.owner) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM quota q WHERE q.tenant_id = NEW.tenant_id AND q.kind = 'workflows') THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(quota_lock(NEW.tenant_id, 'workflows'));
    FOR rule IN
        SELECT * FROM quota_rules(NEW.tenant_id, NULL, NULL, quota_person(NEW.owner), false) r
         WHERE r.kind = 'workflows'
    LOOP
        used := quota_recount(NEW.tenant_id, 'workflows', rule.subject, NULL);
        IF used > rule.amount THEN
            PERFORM quota_refuse('workflows', rule.subject, '', rule.amount, used - 1);
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""

# The limit of concurrent executions that a document sets becomes a rule of its version. From then on every execution
# of the workflow is counted, of other versions too, so the rule is made as any other: alone.
VERSIONS = """
CREATE FUNCTION bound_versions() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    own_limit text := NEW.spec #>> '{settings,max_concurrent_executions}';
    person text;
    rule record;
    used bigint;
BEGIN
    IF own_limit ~ '^[1-9][0-9]{0,8}$' THEN
        PERFORM pg_advisory_xact_lock(quota_lock(NEW.tenant_id, 'rules'));
        INSERT INTO quota (tenant_id, subject, kind, amount)
        VALUES (NEW.tenant_id, 'version:' || NEW.id, 'document', own_limit::bigint),
               (NEW.tenant_id, 'workflow:' || NEW.workflow_id, 'document', 0) ON CONFLICT DO NOTHING;
    END IF;
    IF NOT EXISTS (SELECT FROM quota q
                    WHERE q.tenant_id = NEW.tenant_id AND q.kind IN ('nodes', 'stored_bytes')) THEN
        RETURN NULL;
    END IF;
    SELECT quota_person(w.owner) INTO person FROM workflow w
     WHERE w.tenant_id = NEW.tenant_id AND w.id = NEW.workflow_id;
    FOR rule IN
        SELECT * FROM quota_rules(NEW.tenant_id, NEW.workflow_id, NULL, coalesce(person, ''), false) r
         WHERE r.kind IN ('nodes', 'stored_bytes')
    LOOP
        IF rule.kind = 'nodes' THEN
            used := count_nodes(NEW.spec);
            IF used > rule.amount THEN
                PERFORM quota_refuse('nodes', rule.subject, '', rule.amount, used);
            END IF;
        ELSE
            PERFORM pg_advisory_xact_lock_shared(quota_lock(NEW.tenant_id, 'rules'));
            PERFORM pg_advisory_xact_lock(quota_lock(NEW.tenant_id, 'counters'));
            -- The row is there already: a counter that is made now has it.
            used := NULL;
            UPDATE quota_counter q SET value = q.value + version_bytes(NEW.spec)
             WHERE q.tenant_id = NEW.tenant_id AND q.scope = 'stored_bytes' AND q.key = rule.subject
               AND q.expires_at > now() RETURNING q.value INTO used;
            IF used IS NULL THEN
                used := quota_counted(NEW.tenant_id, 'stored_bytes', rule.subject, '');
            END IF;
            IF used > rule.amount THEN
                PERFORM quota_refuse('stored_bytes', rule.subject, '', rule.amount,
                                     used - version_bytes(NEW.spec));
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""

TRIGGERS = [
    """CREATE TRIGGER workflow_quota AFTER INSERT OR UPDATE OF status, owner ON workflow
       FOR EACH ROW EXECUTE FUNCTION bound_workflows()""",
    """CREATE TRIGGER workflow_version_quota AFTER INSERT ON workflow_version
       FOR EACH ROW EXECUTE FUNCTION bound_versions()""",
]
FUNCTIONS = [CLOSE, WRITE, CREATE, WORKFLOWS, VERSIONS]
# These plan once, as in revision 0006.
PLANNED_ONCE = [
    "close_execution(execution_closing, integer)",
    "write_outcomes(text, node_execution_row[], node_execution_row[], execution_closing[], integer)",
    "create_execution(uuid, uuid, uuid, uuid, text, text, text, json, uuid, uuid, integer, smallint, jsonb, jsonb,"
    " text, text, text, text, bytea)",
    "settle_executions(uuid[], uuid[], boolean[])",
]
