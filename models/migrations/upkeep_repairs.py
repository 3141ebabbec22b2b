"""SQL of revision 0020: what is repaired where only PostgreSQL can know what is right."""

# Under the locks of quotas nothing changes meanwhile, so the numbers are exact. Counters of periods are compared while
# retention cannot have taken rows of theirs (`complete_since`); stored bytes are counted afresh each hour anyway.
QUOTAS = """
CREATE FUNCTION repair_quotas(
    tenant uuid, complete_since timestamptz,
    OUT counters integer, OUT stale integer, OUT lost integer, OUT handed integer
)
LANGUAGE plpgsql AS $$
DECLARE
    tenants_set text := set_config('structforge.tenants', '{' || tenant || '}', true);
    counter record;
    exact bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(quota_lock(tenant, 'rules'));
    PERFORM pg_advisory_xact_lock(quota_lock(tenant, 'counters'));
    counters := 0;
    FOR counter IN
        SELECT q.scope, q.key, q.value, CASE WHEN strpos(q.key, '/') > 0 THEN split_part(q.key, ':', 1) ELSE '' END
               AS period, substr(q.key, strpos(q.key, '/') + 1) AS subject
          FROM quota_counter q
         WHERE q.tenant_id = tenant AND q.scope IN ('concurrent_executions', 'executions', 'execution_seconds')
           AND (q.expires_at IS NULL OR q.expires_at > now()) ORDER BY q.scope, q.key
    LOOP
        CONTINUE WHEN counter.period <> '' AND (counter.period NOT IN ('hour', 'day', 'month')
                      OR date_trunc(counter.period, now(), 'UTC') < complete_since);
        CONTINUE WHEN counter.scope <> 'concurrent_executions' AND counter.period = '';
        exact := quota_recount(tenant, counter.scope, counter.subject, CASE WHEN counter.period <> ''
                               THEN date_trunc(counter.period, now(), 'UTC') END);
        IF exact <> counter.value THEN
            UPDATE quota_counter q SET value = exact
             WHERE q.tenant_id = tenant AND q.scope = counter.scope AND q.key = counter.key;
            counters := counters + 1;
        END IF;
    END LOOP;
    DELETE FROM waiting_execution w WHERE w.tenant_id = tenant AND NOT EXISTS (
        SELECT FROM execution e WHERE e.tenant_id = tenant AND e.id = w.execution_id AND e.finished_at IS NULL
           AND e.reason = 'queued');
    GET DIAGNOSTICS stale = ROW_COUNT;
    INSERT INTO waiting_execution (tenant_id, execution_id, workflow_id, version_id, started_by, parent_execution_id,
                                   priority, created_at)
    SELECT e.tenant_id, e.id, e.workflow_id, e.version_id, e.started_by, e.parent_execution_id, e.priority, e.created_at
      FROM execution e WHERE e.tenant_id = tenant AND e.finished_at IS NULL AND e.status = 'pending'
       AND e.reason = 'queued'
       AND NOT EXISTS (SELECT FROM waiting_execution w WHERE w.tenant_id = tenant AND w.execution_id = e.id)
     ORDER BY e.id;
    GET DIAGNOSTICS lost = ROW_COUNT;
    handed := admit_waiting(tenant);
END $$
"""

FUNCTIONS = [QUOTAS]
FOR_THE_APPLICATION = ["repair_quotas(uuid, timestamptz)"]
TABLES = [
    """
    CREATE TABLE upkeep_count (
        kind text PRIMARY KEY, total bigint NOT NULL DEFAULT 0, last_at timestamptz
    )
    """,
    "GRANT SELECT, INSERT, UPDATE ON upkeep_count TO structforge_app",
]
_RECONCILER = "(SELECT structforge_purpose()) = 'reconciler'"
POLICIES = [
    f"CREATE POLICY reconcile_approvals ON approval FOR SELECT USING ({_RECONCILER} AND status = 'open')",
    f"CREATE POLICY reconcile_waiting ON waiting_execution FOR SELECT USING ({_RECONCILER})",
    f"CREATE POLICY reconcile_quotas ON quota FOR SELECT USING ({_RECONCILER})",
    f"CREATE POLICY reconcile_reservations ON ai_call FOR SELECT USING ({_RECONCILER} AND status = 'reserved')",
]
