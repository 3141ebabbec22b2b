"""SQL of revision 0017: the functions of revision 0011 that count what is used, saying when four fifths of it are.

Whoever calls holds the lock of the counters, so that each crossing is seen by one transaction. `quota_notice` keeps it
to one message a period, also when a rule changes and its counter is made afresh; a quota without a period is told of
once a day.
"""

# Called where a count grows: nothing happens unless it crosses the mark now.
NEAR = """
CREATE FUNCTION quota_near(
    tenant uuid, kind text, subject text, period text, amount bigint, before bigint, after bigint
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF amount <= 0 OR before * 5 >= amount * 4 OR after * 5 < amount * 4 THEN
        RETURN;
    END IF;
    INSERT INTO quota_notice AS n (tenant_id, kind, subject, period, since)
    VALUES (tenant, kind, subject, period, date_trunc(coalesce(nullif(period, ''), 'day'), now(), 'UTC'))
    ON CONFLICT ON CONSTRAINT quota_notice_pkey DO UPDATE SET since = excluded.since
     WHERE n.since < excluded.since;
    IF FOUND THEN
        INSERT INTO outbox (tenant_id, kind, payload)
        VALUES (tenant, 'quota.near', jsonb_build_object('quota', kind, 'subject', subject,
                'period', nullif(period, ''), 'limit', amount, 'used', after));
    END IF;
END $$
"""

ADMIT = """
CREATE OR REPLACE FUNCTION admit_execution(
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
                IF (used + 1) * 5 >= rule.amount * 4 AND used * 5 < rule.amount * 4 THEN
                    PERFORM quota_near(tenant, rule.kind, rule.subject, rule.period, rule.amount, used, used + 1);
                END IF;
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

SETTLE = """
CREATE OR REPLACE FUNCTION settle_execution(tenant uuid, execution uuid, waited boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    closed record;
    rule record;
    orphan uuid;
    added bigint;
    total bigint;
    unit bigint;
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
        added := CASE rule.kind WHEN 'execution_seconds'
               THEN closed.duration_ms::bigint ELSE execution_bytes(tenant, settle_execution.execution) END;
        total := NULL;
        UPDATE quota_counter q SET value = q.value + added
         WHERE q.tenant_id = tenant AND q.scope = rule.kind AND q.key = quota_key(rule.subject, rule.period, now())
        RETURNING q.value INTO total;
        unit := CASE rule.kind WHEN 'execution_seconds' THEN 1000 ELSE 1 END;
        IF total * 5 >= rule.amount * unit * 4 AND (total - added) * 5 < rule.amount * unit * 4 THEN
            PERFORM quota_near(tenant, rule.kind, rule.subject, rule.period, rule.amount,
                               (total - added) / unit, total / unit);
        END IF;
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

FUNCTIONS = [NEAR, ADMIT, SETTLE]
