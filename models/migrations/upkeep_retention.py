"""SQL of revision 0020: months of the record that are made and dropped, and rows that have had their time.

These functions run with the owner's rights, so that no process that serves needs the owner's password. They take no
names of tables from their callers but those that stand in the catalogue as months of the record, and none removes what
is younger than an hour. Locks are always taken from the branch downwards, as queries take them.
"""

RECORD = "ARRAY['execution', 'node_execution', 'execution_log']"

ID_AT = """
CREATE FUNCTION id_at(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (lpad(to_hex(greatest(0, floor(extract(epoch FROM moment) * 1000))::bigint), 12, '0') || '70008000'
        || repeat('0', 12))::uuid
"""

MOMENT_OF = """
CREATE FUNCTION moment_of_id(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp((('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint) / 1000.0)
"""

# The label `keep` spares an execution, unless its value says no.
KEPT = """
CREATE FUNCTION is_kept(labels jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(lower(labels->>'keep') NOT IN ('', 'false', 'no', '0'), false)
"""

# A default partition has no bounds.
MONTHS = f"""
CREATE FUNCTION record_months() RETURNS TABLE (part text, branch text, leaf text, lower uuid, upper uuid)
LANGUAGE sql STABLE AS $$
    SELECT root.relname, branch.relname, leaf.relname,
           (regexp_match(b.bound, 'FROM \\(''([0-9a-f-]{{36}})''\\)'))[1]::uuid,
           (regexp_match(b.bound, 'TO \\(''([0-9a-f-]{{36}})''\\)'))[1]::uuid
      FROM pg_class root
      JOIN pg_inherits i ON i.inhparent = root.oid
      JOIN pg_class branch ON branch.oid = i.inhrelid AND branch.relkind = 'p'
      JOIN pg_inherits j ON j.inhparent = branch.oid
      JOIN pg_class leaf ON leaf.oid = j.inhrelid
     CROSS JOIN LATERAL (SELECT pg_get_expr(leaf.relpartbound, leaf.oid)) b (bound)
     WHERE root.relnamespace = 'public'::regnamespace AND root.relname = ANY ({RECORD})
$$
"""

# A month of one branch, made beside the table and attached when it is whole: what waits for it in the default partition
# moves over in the same transaction.
ADD_MONTH = """
CREATE FUNCTION add_month(part text, branch text, month timestamptz) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '3s' SET search_path = public, pg_temp AS $$
DECLARE
    key text := CASE part WHEN 'execution' THEN 'id' ELSE 'execution_id' END;
    leaf text := branch || to_char(month AT TIME ZONE 'UTC', '"__"YYYY_MM');
    lower uuid := id_at(month);
    upper uuid := id_at(((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
    moved bigint;
BEGIN
    EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', branch);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', branch || '_default');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', leaf, branch);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', leaf);
    EXECUTE format('WITH gone AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)
                    INSERT INTO %5$I SELECT * FROM gone', branch || '_default', key, lower, upper, leaf);
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', branch, leaf, lower, upper);
    RETURN moved;
END $$
"""

# This month and the next ones in every branch, and up to a year of months that rows in a default partition wait for.
# Ids that are no UUIDv7 say no time and stay where they are.
EXTEND = """
CREATE FUNCTION extend_record(months_ahead integer, OUT created integer, OUT moved bigint, OUT left_over bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    home record;
    missing timestamptz;
    waiting bigint;
BEGIN
    created := 0; moved := 0; left_over := 0;
    FOR home IN SELECT DISTINCT m.part, m.branch FROM record_months() m ORDER BY 1, 2 LOOP
        FOR missing IN EXECUTE format(
            'SELECT month FROM (
                 SELECT generate_series(date_trunc(''month'', now(), ''UTC'') AT TIME ZONE ''UTC'',
                        (date_trunc(''month'', now(), ''UTC'') AT TIME ZONE ''UTC'') + make_interval(months => $1),
                        interval ''1 month'') AT TIME ZONE ''UTC''
                 UNION
                 (SELECT DISTINCT date_trunc(''month'', moment_of_id(%1$I), ''UTC'') FROM %2$I
                   WHERE substr(%1$I::text, 15, 1) = ''7'' AND %1$I < id_at(now() + interval ''50 years'') LIMIT 12)
             ) wanted (month)
             WHERE NOT EXISTS (SELECT FROM record_months() m WHERE m.branch = $2 AND m.lower <= id_at(month)
                                  AND m.upper > id_at(month)) ORDER BY 1',
            CASE home.part WHEN 'execution' THEN 'id' ELSE 'execution_id' END, home.branch || '_default')
            USING least(greatest(months_ahead, 0), 24), home.branch
        LOOP
            moved := moved + add_month(home.part, home.branch, missing);
            created := created + 1;
        END LOOP;
        EXECUTE format('SELECT count(*) FROM %I', home.branch || '_default') INTO waiting;
        left_over := left_over + waiting;
    END LOOP;
END $$
"""

# Whole: nothing in it is open, young, kept, or the original of a rerun that is under way.
DROP_MONTH = """
CREATE FUNCTION drop_month(month_name text, finished_before timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '3s' SET search_path = public, pg_temp AS $$
DECLARE
    month record;
    before timestamptz := least(finished_before, now() - interval '1 hour');
    executions text;
    busy boolean;
BEGIN
    SELECT * INTO month FROM record_months() m WHERE m.leaf = month_name AND m.upper <= id_at(before);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    executions := 'execution' || substr(month.branch, length(month.part) + 1);
    FOR round IN 1..2 LOOP
        -- First without a lock, for most months that stay; then for good.
        EXECUTE format('SELECT EXISTS (SELECT FROM %I e WHERE e.id >= $1 AND e.id < $2
                            AND (e.finished_at IS NULL OR e.finished_at >= $3 OR is_kept(e.metadata)))', executions)
           INTO busy USING month.lower, month.upper, before;
        IF NOT busy THEN
            PERFORM set_config('structforge.purpose', 'upkeep', true);
            busy := EXISTS (SELECT FROM execution r WHERE r.finished_at IS NULL AND r.rerun_of >= month.lower
                               AND r.rerun_of < month.upper);
            PERFORM set_config('structforge.purpose', '', true);
        END IF;
        IF busy THEN
            RETURN false;
        END IF;
        IF round = 1 THEN
            -- Executions before their details, as whoever writes both.
            IF executions <> month.branch THEN
                EXECUTE format('LOCK TABLE ONLY %I IN SHARE MODE', executions);
            END IF;
            EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', month.branch);
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE %I', month_name);
    RETURN true;
END $$
"""

# Row by row, for months that hold something to keep and for default partitions.
FORGET = """
CREATE FUNCTION forget_executions(tenant uuid, below uuid, finished_before timestamptz, at_most integer)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    purpose_set text := set_config('structforge.purpose', 'upkeep', true);
    removed integer;
BEGIN
    DELETE FROM execution x USING (
        SELECT e.id FROM execution e
         WHERE e.tenant_id = tenant AND e.id < below
           AND e.finished_at < least(finished_before, now() - interval '1 hour') AND NOT is_kept(e.metadata)
           AND NOT EXISTS (SELECT FROM execution r WHERE r.tenant_id = tenant AND r.rerun_of = e.id
                              AND r.finished_at IS NULL)
         ORDER BY e.id LIMIT at_most FOR UPDATE SKIP LOCKED) gone
     WHERE x.tenant_id = tenant AND x.id = gone.id AND x.id < below;
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('structforge.purpose', '', true);
    RETURN removed;
END $$
"""

# Rows whose execution is gone go as well.
FORGET_DETAILS = """
CREATE FUNCTION forget_details(part text, tenant uuid, below uuid, finished_before timestamptz, at_most integer)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    purpose_set text := set_config('structforge.purpose', 'upkeep', true);
    before timestamptz := least(finished_before, now() - interval '1 hour');
    expired uuid[];
    removed integer;
BEGIN
    IF part NOT IN ('node_execution', 'execution_log') THEN
        RAISE EXCEPTION 'no details are in %', part;
    END IF;
    EXECUTE format('
        SELECT array_agg(DISTINCT s.execution_id) FROM (
            SELECT d.execution_id FROM %I d LEFT JOIN execution e ON e.tenant_id = $1 AND e.id = d.execution_id
             WHERE d.tenant_id = $1 AND d.execution_id < $2 AND d.execution_id < id_at($3)
               AND (e.id IS NULL OR (e.finished_at < $3 AND NOT is_kept(e.metadata)
                    AND NOT EXISTS (SELECT FROM execution r WHERE r.tenant_id = $1 AND r.rerun_of = e.id
                                       AND r.finished_at IS NULL)))
             LIMIT $4) s', part) INTO expired USING tenant, below, before, at_most;
    EXECUTE format('DELETE FROM %I d WHERE d.tenant_id = $1 AND d.execution_id < $2 AND d.execution_id = ANY ($3)',
                   part) USING tenant, below, expired;
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('structforge.purpose', '', true);
    RETURN removed;
END $$
"""

# What is not part of the record's months. An approval goes with its execution.
FORGET_OTHERS = """
CREATE FUNCTION forget_others(kind text, older_than interval, at_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    purpose_set text := set_config('structforge.purpose', 'upkeep', true);
    before timestamptz := now() - greatest(older_than, interval '1 hour');
    removed integer;
BEGIN
    CASE kind
    WHEN 'ai_calls' THEN
        DELETE FROM ai_call WHERE (tenant_id, id) IN (
            SELECT c.tenant_id, c.id FROM ai_call c WHERE c.created_at < before
               AND (c.status <> 'reserved' OR c.expires_at < before)
               AND NOT EXISTS (SELECT FROM execution e WHERE e.tenant_id = c.tenant_id AND e.id = c.execution_id
                                  AND e.finished_at IS NULL) LIMIT at_most);
    WHEN 'nonces' THEN
        DELETE FROM hook_nonce WHERE (tenant_id, credential, nonce) IN (
            SELECT n.tenant_id, n.credential, n.nonce FROM hook_nonce n WHERE n.expires_at < before LIMIT at_most);
    WHEN 'idempotency_keys' THEN
        DELETE FROM idempotency_key WHERE (tenant_id, idempotency_key.kind, key) IN (
            SELECT k.tenant_id, k.kind, k.key FROM idempotency_key k WHERE k.created_at < before LIMIT at_most);
    WHEN 'bulk_requests' THEN
        DELETE FROM bulk_request WHERE (tenant_id, key) IN (
            SELECT b.tenant_id, b.key FROM bulk_request b WHERE b.created_at < before LIMIT at_most);
    WHEN 'replies' THEN
        DELETE FROM idempotent_reply r WHERE r.ctid = ANY (ARRAY(
            SELECT i.ctid FROM idempotent_reply i WHERE i.created_at < before LIMIT at_most));
    WHEN 'approvals' THEN
        DELETE FROM approval WHERE (tenant_id, id) IN (
            SELECT a.tenant_id, a.id FROM approval a WHERE a.created_at < before
               AND NOT EXISTS (SELECT FROM execution e WHERE e.tenant_id = a.tenant_id AND e.id = a.execution_id)
             LIMIT at_most);
    ELSE
        RAISE EXCEPTION 'nothing of the kind % is forgotten here', kind;
    END CASE;
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('structforge.purpose', '', true);
    RETURN removed;
END $$
"""

FUNCTIONS = [
    ID_AT, MOMENT_OF, KEPT, MONTHS, ADD_MONTH, EXTEND, DROP_MONTH, FORGET, FORGET_DETAILS, FORGET_OTHERS,
]  # fmt: skip
OWNED_ROWS = [
    "execution", "node_execution", "execution_log", "ai_call", "hook_nonce", "idempotency_key", "bulk_request",
    "idempotent_reply", "approval",
]  # fmt: skip
# Who may call what with the owner's rights.
FOR_THE_APPLICATION = [
    "extend_record(integer)",
    "drop_month(text, timestamptz)",
    "forget_executions(uuid, uuid, timestamptz, integer)",
    "forget_details(text, uuid, uuid, timestamptz, integer)",
    "forget_others(text, interval, integer)",
]
FOR_THE_OWNER = ["add_month(text, text, timestamptz)"]
