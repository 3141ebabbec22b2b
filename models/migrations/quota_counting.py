"""SQL of revision 0011: which quotas bind an execution, and what is used of them.

Two advisory locks of a tenant make the counters exact. Whoever starts, ends or limits something takes the lock of the
*rules* first (shared; exclusive to change a rule), so that a rule never comes between an execution's start and its
commit. Whoever then touches a counter takes the lock of the *counters* (exclusive). A tenant without quotas never
takes the second. Row locks of executions that close come before both.

A counter that is missing is counted afresh from the tables under these locks, so it may be thrown away at any time.
Subjects are `tenant`, `user:<id>`, `workflow:<id>`; a rule for `user` or `workflow` alone holds for each that has no
rule of its own. `version:<id>` is the limit that a document sets for itself.
"""

LOCKS = """
CREATE FUNCTION quota_lock(tenant uuid, name text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(name || ':' || tenant::text, 11)
"""

# Children are part of their parent's run: only their own workflow's rules, and bounds that count no executions.
RULES = """
CREATE FUNCTION quota_rules(tenant uuid, workflow uuid, version uuid, person text, is_child boolean)
RETURNS TABLE (kind text, subject text, period text, amount bigint)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (q.kind, q.period, split_part(q.subject, ':', 1))
           q.kind,
           CASE split_part(q.subject, ':', 1) WHEN 'user' THEN 'user:' || person
                WHEN 'workflow' THEN 'workflow:' || workflow ELSE q.subject END,
           q.period, q.amount
      FROM quota q
     WHERE q.tenant_id = tenant
       AND q.subject = ANY (ARRAY['tenant', 'workflow', 'workflow:' || workflow, 'version:' || version]
                            || CASE WHEN person = '' THEN '{}' ELSE ARRAY['user', 'user:' || person] END)
       AND (NOT is_child OR q.subject LIKE 'workflow%' OR q.subject LIKE 'version:%'
            OR q.kind IN ('stored_bytes', 'execution_timeout_s'))
     ORDER BY q.kind, q.period, split_part(q.subject, ':', 1), length(q.subject) DESC
$$
"""

KEY = """
CREATE FUNCTION quota_key(subject text, period text, moment timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN period = '' THEN subject
            ELSE period || ':' || to_char(date_trunc(period, moment, 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24')
                 || '/' || subject END
"""

# When what is used is forgotten. Stored bytes are counted afresh each hour, for retention frees them by partitions.
EXPIRY = """
CREATE FUNCTION quota_expiry(kind text, period text, moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
RETURN CASE WHEN period <> '' THEN date_trunc(period, moment, 'UTC') + ('1 ' || period)::interval
            WHEN kind = 'stored_bytes' THEN moment + interval '1 hour' END
"""

BYTES = [
    """
    CREATE FUNCTION value_bytes(value json) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(pg_column_size(value), 0)
           + CASE WHEN json_typeof(value) = 'object' AND value->>'r' IS NOT NULL
                  THEN coalesce((value->>'n')::bigint, 0) ELSE 0 END
    """,
    """
    CREATE FUNCTION execution_bytes(tenant uuid, execution uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT coalesce(sum(b.bytes), 0)::bigint FROM (
            SELECT 300 + value_bytes(e.input) + value_bytes(e.output) FROM execution e
             WHERE e.tenant_id = tenant AND e.id = execution
            UNION ALL
            SELECT 300 + value_bytes(n.input) + value_bytes(n.output) FROM node_execution n
             WHERE n.tenant_id = tenant AND n.execution_id = execution) b (bytes)
    $$
    """,
    """
    CREATE FUNCTION version_bytes(spec json) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN 300 + pg_column_size(spec)
    """,
]

# Executions name the person who started them as people do, workflows name the account of their owner.
PERSON = """
CREATE FUNCTION quota_person(owner text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT u.email FROM user_account u
                      WHERE u.id = CASE WHEN owner ~ '^[0-9a-f-]{36}$' THEN owner::uuid END), owner)
$$
"""

RECOUNT = """
CREATE FUNCTION quota_recount(tenant uuid, kind text, subject text, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    whose text := split_part(subject, ':', 1);
    ident text := substr(subject, length(split_part(subject, ':', 1)) + 2);
    flow uuid := CASE WHEN split_part(subject, ':', 1) = 'workflow' THEN substr(subject, 10)::uuid END;
    account text;  -- of workflows that the person owns
    total bigint;
BEGIN
    IF whose = 'user' THEN
        SELECT u.id::text INTO account FROM user_account u WHERE u.email = ident;
    END IF;
    IF kind = 'workflows' THEN
        SELECT count(*) INTO total FROM workflow w
         WHERE w.tenant_id = tenant AND w.status <> 'archived' AND (whose = 'tenant' OR w.owner IN (ident, account));
    ELSIF kind = 'nodes' THEN
        SELECT coalesce(max(count_nodes(v.spec)), 0) INTO total FROM workflow w
          JOIN workflow_version v ON v.tenant_id = tenant AND v.workflow_id = w.id AND v.number = w.latest_version
         WHERE w.tenant_id = tenant AND w.status <> 'archived'
           AND (whose = 'tenant' OR (whose = 'user' AND w.owner IN (ident, account)) OR w.id = flow);
    ELSIF kind = 'concurrent_executions' THEN
        SELECT count(*) INTO total FROM execution e
         WHERE e.tenant_id = tenant AND e.finished_at IS NULL AND e.reason IS NULL
           AND (e.workflow_id = flow OR (e.parent_execution_id IS NULL
                AND (whose = 'tenant' OR (whose = 'user' AND e.started_by = ident))));
    ELSIF kind = 'executions' THEN
        SELECT count(*) INTO total FROM execution e
         WHERE e.tenant_id = tenant AND e.created_at >= since
           AND (e.workflow_id = flow OR (e.parent_execution_id IS NULL
                AND (whose = 'tenant' OR (whose = 'user' AND e.started_by = ident))));
    ELSIF kind = 'execution_seconds' THEN
        SELECT coalesce(sum(e.duration_ms), 0)::bigint INTO total FROM execution e
         WHERE e.tenant_id = tenant AND e.finished_at >= since
           AND (e.workflow_id = flow OR (e.parent_execution_id IS NULL
                AND (whose = 'tenant' OR (whose = 'user' AND e.started_by = ident))));
    ELSIF kind = 'stored_bytes' THEN
        SELECT (SELECT coalesce(sum(execution_bytes(tenant, e.id)), 0) FROM execution e
                 WHERE e.tenant_id = tenant AND e.finished_at IS NOT NULL
                   AND (whose = 'tenant' OR e.started_by = ident))
             + (SELECT coalesce(sum(version_bytes(v.spec)), 0) FROM workflow_version v
                 WHERE v.tenant_id = tenant AND (whose = 'tenant' OR EXISTS (SELECT FROM workflow w
                       WHERE w.tenant_id = tenant AND w.id = v.workflow_id AND w.owner IN (ident, account))))
          INTO total;
    END IF;
    RETURN coalesce(total, 0);
END $$
"""

# For readers, who hold no lock and so may not make a counter.
USED = """
CREATE FUNCTION quota_used(tenant uuid, kind text, subject text, period text) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_value bigint;
BEGIN
    SELECT q.value INTO found_value FROM quota_counter q
     WHERE q.tenant_id = tenant AND q.scope = quota_used.kind AND q.key = quota_key(subject, period, now())
       AND (q.expires_at IS NULL OR q.expires_at > now());
    IF NOT FOUND THEN
        found_value := quota_recount(tenant, kind, subject,
                                     CASE WHEN period <> '' THEN date_trunc(period, now(), 'UTC') END);
    END IF;
    RETURN found_value;
END $$
"""

# For holders of the lock of the counters.
COUNTER = """
CREATE FUNCTION quota_counted(tenant uuid, kind text, subject text, period text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    found_value bigint;
BEGIN
    found_value := quota_used(tenant, kind, subject, period);
    INSERT INTO quota_counter AS q (tenant_id, scope, key, value, expires_at)
    VALUES (tenant, quota_counted.kind, quota_key(subject, period, now()), found_value,
            quota_expiry(quota_counted.kind, period, now()))
    ON CONFLICT (tenant_id, scope, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
     WHERE q.expires_at <= now();
    RETURN found_value;
END $$
"""

REFUSE = """
CREATE FUNCTION quota_refuse(kind text, subject text, period text, amount bigint, used bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'SFQ01',
        MESSAGE = format('the quota of %s %s for %s is used up', amount,
                         replace(kind, '_', ' ') || CASE WHEN period = '' THEN '' ELSE ' a ' || period END, subject),
        DETAIL = jsonb_build_object('quota', kind, 'subject', subject, 'period', nullif(period, ''), 'limit', amount,
                                    'used', used, 'frees_at', CASE WHEN period <> '' THEN
                                    date_trunc(period, now(), 'UTC') + ('1 ' || period)::interval END)::text;
END $$
"""

# Nodes of handlers and of bodies count too, as they do in the limit of a document.
NODES = """
CREATE FUNCTION count_nodes(spec json) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH RECURSIVE nodes (node) AS (
        SELECT jsonb_path_query(spec::jsonb, 'lax $.nodes[*]')
        UNION ALL
        SELECT jsonb_path_query(spec::jsonb, 'lax $.handlers.nodes[*]')
        UNION ALL
        SELECT inner_node FROM nodes, LATERAL (
            SELECT jsonb_path_query(node, 'lax $.params.body.nodes[*]')
             WHERE node->>'type' = 'loop'
            UNION ALL
            SELECT jsonb_path_query(node, 'lax $.params.branches[*].nodes[*]')
             WHERE node->>'type' = 'parallel') below (inner_node)
    )
    SELECT count(*) FROM nodes
$$
"""

FUNCTIONS = [LOCKS, RULES, KEY, EXPIRY, *BYTES, NODES, PERSON, RECOUNT, USED, COUNTER, REFUSE]
