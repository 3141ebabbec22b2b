"""SQL of revision 0011: letting executions in, waiting for a slot, and giving slots back. See `quota_counting`."""

# The subject whose slots are all taken, or null if the execution has taken one of each. `forced` takes them anyway.
SLOTS = """
CREATE FUNCTION take_slots(
    tenant uuid, workflow uuid, version uuid, person text, is_child boolean, forced boolean
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    slot record;
    slots text[] := '{}';
BEGIN
    FOR slot IN
        SELECT CASE WHEN r.kind = 'document' THEN 'workflow:' || workflow ELSE r.subject END AS subject,
               min(r.amount) FILTER (WHERE r.kind <> 'document' OR r.subject LIKE 'version:%') AS amount
          FROM quota_rules(tenant, workflow, version, person, is_child) r
         WHERE r.kind IN ('concurrent_executions', 'document') GROUP BY 1 ORDER BY 1
    LOOP
        IF quota_counted(tenant, 'concurrent_executions', slot.subject, '') >= slot.amount AND NOT forced THEN
            RETURN slot.subject;
        END IF;
        slots := slots || slot.subject;
    END LOOP;
    UPDATE quota_counter q SET value = q.value + 1
     WHERE q.tenant_id = tenant AND q.scope = 'concurrent_executions' AND q.key = ANY (slots);
    RETURN NULL;
END $$
"""

# A workflow that calls itself would wait for the slot that its own caller holds.
REENTRANT = """
CREATE FUNCTION is_reentrant(tenant uuid, workflow uuid, parent uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above (workflow_id, parent_id, depth) AS (
        SELECT e.workflow_id, e.parent_execution_id, 1 FROM execution e WHERE e.tenant_id = tenant AND e.id = parent
        UNION ALL
        SELECT e.workflow_id, e.parent_execution_id, a.depth + 1 FROM above a
          JOIN execution e ON e.tenant_id = tenant AND e.id = a.parent_id WHERE a.depth < 20
    )
    SELECT EXISTS (SELECT FROM above a WHERE a.workflow_id = workflow)
$$
"""

# Run by the holder of both locks, before the row of the execution is there. `bound` is its longest time in seconds.
ADMIT = """
CREATE FUNCTION admit_execution(
    tenant uuid, execution uuid, workflow uuid, version uuid, person text, parent uuid, priority smallint,
    OUT queued boolean, OUT bound double precision
)
LANGUAGE plpgsql AS $$
DECLARE
    rule record;
    used bigint;
BEGIN
    FOR rule IN SELECT * FROM quota_rules(tenant, workflow, version, person, parent IS NOT NULL) LOOP
        IF rule.kind = 'execution_timeout_s' THEN
            bound := least(bound, rule.amount);
        ELSIF rule.kind IN ('executions', 'execution_seconds', 'stored_bytes') THEN
            used := quota_counted(tenant, rule.kind, rule.subject, rule.period);
            IF rule.kind = 'execution_seconds' THEN
                used := used / 1000;  -- milliseconds are counted
            END IF;
            IF used >= rule.amount THEN
                PERFORM quota_refuse(rule.kind, rule.subject, rule.period, rule.amount, used);
            END IF;
            IF rule.kind = 'executions' THEN
                UPDATE quota_counter q SET value = q.value + 1
                 WHERE q.tenant_id = tenant AND q.scope = 'executions'
                   AND q.key = quota_key(rule.subject, rule.period, now());
            END IF;
        END IF;
    END LOOP;
    queued := take_slots(tenant, workflow, version, person, parent IS NOT NULL,
                         parent IS NOT NULL AND is_reentrant(tenant, workflow, parent)) IS NOT NULL;
    IF queued THEN
        INSERT INTO waiting_execution (tenant_id, execution_id, workflow_id, version_id, started_by,
                                       parent_execution_id, priority)
        VALUES (tenant, execution, workflow, version, person, parent, priority);
    END IF;
END $$
"""

# Hands free slots to those who wait, by priority and then age. Whoever waits for a full slot holds up only those who
# wait for the same one. A row that somebody else has locked is about to be closed.
RELEASE = """
CREATE FUNCTION admit_waiting(tenant uuid) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    waiter waiting_execution;
    full_slot text;
    tenant_is_full boolean := false;
    full_people text[] := '{}';
    full_workflows uuid[] := '{}';
    passed uuid[] := '{}';
    admitted integer := 0;
BEGIN
    LOOP
        SELECT * INTO waiter FROM waiting_execution w
         WHERE w.tenant_id = tenant AND w.workflow_id <> ALL (full_workflows) AND w.execution_id <> ALL (passed)
           AND (w.parent_execution_id IS NOT NULL
                OR (NOT tenant_is_full AND w.started_by <> ALL (full_people)))
         ORDER BY w.priority, w.position LIMIT 1;
        EXIT WHEN NOT FOUND;
        PERFORM FROM execution e WHERE e.tenant_id = tenant AND e.id = waiter.execution_id
            FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            passed := passed || waiter.execution_id;
            CONTINUE;
        END IF;
        full_slot := take_slots(tenant, waiter.workflow_id, waiter.version_id, waiter.started_by,
                                waiter.parent_execution_id IS NOT NULL, false);
        IF full_slot IS NULL THEN
            DELETE FROM waiting_execution w WHERE w.tenant_id = tenant AND w.execution_id = waiter.execution_id;
            UPDATE execution e SET reason = NULL, released_at = clock_timestamp()
             WHERE e.tenant_id = tenant AND e.id = waiter.execution_id;
            admitted := admitted + 1;
        ELSIF full_slot = 'tenant' THEN
            tenant_is_full := true;
        ELSIF full_slot LIKE 'user:%' THEN
            full_people := full_people || waiter.started_by;
        ELSE
            full_workflows := full_workflows || waiter.workflow_id;
        END IF;
    END LOOP;
    IF admitted > 0 THEN
        PERFORM pg_notify('structforge_released', tenant::text);
    END IF;
    RETURN admitted;
END $$
"""

# For an execution whose row is closed already. Children that still wait end with their parent.
SETTLE = """
CREATE FUNCTION settle_execution(tenant uuid, execution uuid, waited boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    closed record;
    rule record;
    orphan uuid;
BEGIN
    SELECT e.workflow_id, e.started_by, e.parent_execution_id IS NOT NULL AS is_child, e.duration_ms INTO closed
      FROM execution e WHERE e.tenant_id = tenant AND e.id = settle_execution.execution;
    IF waited THEN
        DELETE FROM waiting_execution w WHERE w.tenant_id = tenant AND w.execution_id = settle_execution.execution;
    ELSE
        UPDATE quota_counter q SET value = q.value - 1
         WHERE q.tenant_id = tenant AND q.scope = 'concurrent_executions'
           AND q.key = ANY (ARRAY['workflow:' || closed.workflow_id] || CASE WHEN closed.is_child THEN '{}'
                            ELSE ARRAY['tenant', 'user:' || closed.started_by] END);
    END IF;
    FOR rule IN
        SELECT * FROM quota_rules(tenant, closed.workflow_id, NULL, closed.started_by, closed.is_child) r
         WHERE r.kind IN ('execution_seconds', 'stored_bytes')
    LOOP
        UPDATE quota_counter q SET value = q.value + CASE rule.kind WHEN 'execution_seconds'
               THEN closed.duration_ms::bigint ELSE execution_bytes(tenant, settle_execution.execution) END
         WHERE q.tenant_id = tenant AND q.scope = rule.kind AND q.key = quota_key(rule.subject, rule.period, now());
    END LOOP;
    FOR orphan IN
        SELECT w.execution_id FROM waiting_execution w
         WHERE w.tenant_id = tenant AND w.parent_execution_id = settle_execution.execution
    LOOP
        PERFORM FROM execution e WHERE e.tenant_id = tenant AND e.id = orphan FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        DELETE FROM waiting_execution w WHERE w.tenant_id = tenant AND w.execution_id = orphan;
        UPDATE execution e SET status = 'cancelled', reason = NULL, finished_at = clock_timestamp(), duration_ms = 0,
               expected_count = 0, expected_digest = 0, error = '{"code": "CANCELLED", "message":
               "its parent ended before it began", "details": {}, "retryable": false}'
         WHERE e.tenant_id = tenant AND e.id = orphan;
    END LOOP;
END $$
"""

SETTLE_ALL = """
CREATE FUNCTION settle_executions(tenants uuid[], executions uuid[], waited boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    owner uuid;
    limited uuid[];
    place integer;
BEGIN
    IF cardinality(tenants) = 1 THEN
        PERFORM pg_advisory_xact_lock_shared(quota_lock(tenants[1], 'rules'));
    ELSE
        FOR owner IN SELECT DISTINCT t FROM unnest(tenants) t ORDER BY 1 LOOP
            PERFORM pg_advisory_xact_lock_shared(quota_lock(owner, 'rules'));
        END LOOP;
    END IF;
    SELECT array_agg(DISTINCT q.tenant_id ORDER BY q.tenant_id) INTO limited FROM quota q
     WHERE q.tenant_id = ANY (tenants);
    IF limited IS NULL THEN
        RETURN;
    END IF;
    FOREACH owner IN ARRAY limited LOOP
        PERFORM pg_advisory_xact_lock(quota_lock(owner, 'counters'));
    END LOOP;
    FOR place IN 1..cardinality(tenants) LOOP
        IF tenants[place] = ANY (limited) THEN
            PERFORM settle_execution(tenants[place], executions[place], waited[place]);
        END IF;
    END LOOP;
    FOREACH owner IN ARRAY limited LOOP
        PERFORM admit_waiting(owner);
    END LOOP;
END $$
"""

# An execution that waits has no Temporal workflow, so its end is this and no more.
CANCEL = """
CREATE FUNCTION cancel_queued(tenant uuid, execution uuid, messages jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenants_set text := set_config('structforge.tenants', '{' || cancel_queued.tenant || '}', true);
BEGIN
    UPDATE execution x SET status = 'cancelled', reason = NULL, finished_at = clock_timestamp(), duration_ms = 0,
           expected_count = 0, expected_digest = 0
     WHERE x.tenant_id = cancel_queued.tenant AND x.id = cancel_queued.execution AND x.reason = 'queued'
       AND x.finished_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO outbox (tenant_id, kind, payload)
    SELECT cancel_queued.tenant, m->>'kind', m->'payload' FROM jsonb_array_elements(messages) m;
    PERFORM settle_executions(ARRAY[cancel_queued.tenant], ARRAY[cancel_queued.execution], ARRAY[true]);
    RETURN true;
END $$
"""

# A new or changed rule holds from its commit on: executions that are under way have been let in and are counted.
CHANGE = """
CREATE FUNCTION change_quota(
    tenant uuid, subject text, kind text, period text, amount bigint
) RETURNS SETOF quota
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenants_set text := set_config('structforge.tenants', '{' || change_quota.tenant || '}', true);
BEGIN
    PERFORM pg_advisory_xact_lock(quota_lock(change_quota.tenant, 'rules'));
    PERFORM pg_advisory_xact_lock(quota_lock(change_quota.tenant, 'counters'));
    IF change_quota.amount IS NULL THEN
        RETURN QUERY DELETE FROM quota q WHERE q.tenant_id = change_quota.tenant
           AND q.subject = change_quota.subject AND q.kind = change_quota.kind AND q.period = change_quota.period
        RETURNING *;
    ELSE
        RETURN QUERY INSERT INTO quota AS q (tenant_id, subject, kind, period, amount)
        VALUES (change_quota.tenant, change_quota.subject, change_quota.kind, change_quota.period,
                change_quota.amount)
        ON CONFLICT (tenant_id, subject, kind, period)
        DO UPDATE SET amount = excluded.amount, updated_at = now() RETURNING *;
    END IF;
    -- Counters of a rule that is gone would stand still; those of one that is there are counted afresh when needed.
    DELETE FROM quota_counter c WHERE c.tenant_id = change_quota.tenant AND c.scope = change_quota.kind;
    PERFORM admit_waiting(change_quota.tenant);
END $$
"""

FUNCTIONS = [SLOTS, REENTRANT, ADMIT, RELEASE, SETTLE, SETTLE_ALL, CANCEL, CHANGE]
