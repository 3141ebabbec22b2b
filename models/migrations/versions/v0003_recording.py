"""The recorder's functions: a batch of outcomes, and the closing of executions, in one round trip.

A function is one statement and so one transaction: no round trips for BEGIN, for the tenants and for COMMIT. They run
with the caller's rights, under its policies.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

TYPES = [
    """
    CREATE TYPE node_execution_row AS (
        tenant_id uuid, execution_id uuid, node_path text, iteration integer[], generation integer,
        node_type text, status text, reason text, attempts integer, lost integer, execution_attempt integer, port text,
        started_at timestamptz, finished_at timestamptz, duration_ms double precision,
        input json, output json, error json, assigned json, digest bigint, worker text, cached boolean
    )
    """,
    """
    CREATE TYPE execution_closing AS (
        tenant_id uuid, execution_id uuid, status text, output json, error json, attempt integer,
        handled_failures integer, expected_count bigint, expected_digest bigint, finished_at timestamptz,
        messages jsonb, final boolean
    )
    """,
    """
    CREATE TYPE execution_closed AS (execution_id uuid, found boolean, closed boolean, status text, present jsonb)
    """,
]

RANK = """
CREATE FUNCTION node_status_rank(status text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE status WHEN 'pending' THEN 0 WHEN 'running' THEN 1 WHEN 'waiting' THEN 2 WHEN 'retrying' THEN 3 ELSE 4 END
"""

# Rows of an execution that is closed or unknown are left out: a late outcome changes nothing any more.
# `settled` rows come from the interpreter itself, whose word replaces what a worker wrote in the same attempt.
RECORD = """
CREATE FUNCTION record_node_executions(outcomes node_execution_row[], settled boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    open_ids uuid[];
    open_tenants uuid[];
    pending_ids uuid[];
    pending_tenants uuid[];
    first_start timestamptz;
BEGIN
    SELECT array_agg(e.id), array_agg(e.tenant_id), array_agg(e.id) FILTER (WHERE e.status = 'pending'),
           array_agg(DISTINCT e.tenant_id) FILTER (WHERE e.status = 'pending'), min(r.started_at)
      INTO open_ids, open_tenants, pending_ids, pending_tenants, first_start
      FROM (SELECT o.tenant_id, o.execution_id, min(o.started_at) AS started_at
              FROM unnest(outcomes) o GROUP BY 1, 2) r
     CROSS JOIN LATERAL (SELECT x.id, x.tenant_id, x.status FROM execution x
                          WHERE x.tenant_id = r.tenant_id AND x.id = r.execution_id AND x.finished_at IS NULL
                          LIMIT 1) e;
    IF pending_ids IS NOT NULL THEN
        UPDATE execution SET status = 'running', started_at = coalesce(started_at, first_start, clock_timestamp())
         WHERE tenant_id = ANY (pending_tenants) AND id = ANY (pending_ids) AND status = 'pending';
    END IF;
    INSERT INTO node_execution AS n (
        tenant_id, execution_id, node_path, iteration, generation, node_type, status, reason, attempts, lost,
        execution_attempt, port, started_at, finished_at, duration_ms, input, output, error, assigned, digest,
        worker, cached)
    SELECT r.* FROM unnest(outcomes) r
     WHERE (r.tenant_id, r.execution_id) IN (SELECT * FROM unnest(open_tenants, open_ids))
    ON CONFLICT (tenant_id, execution_id, node_path, iteration, generation) DO UPDATE SET
        node_type = excluded.node_type, status = excluded.status, reason = excluded.reason,
        attempts = excluded.attempts, lost = excluded.lost, execution_attempt = excluded.execution_attempt,
        port = excluded.port, started_at = coalesce(excluded.started_at, n.started_at),
        finished_at = excluded.finished_at, duration_ms = excluded.duration_ms,
        input = coalesce(excluded.input, n.input), output = excluded.output, error = excluded.error,
        assigned = excluded.assigned, digest = excluded.digest, seq = nextval('node_execution_seq'),
        worker = coalesce(excluded.worker, n.worker), cached = excluded.cached
    WHERE (excluded.execution_attempt, node_status_rank(excluded.status) = 4, excluded.attempts,
           node_status_rank(excluded.status), excluded.lost)
        > (n.execution_attempt, node_status_rank(n.status) = 4, n.attempts, node_status_rank(n.status), n.lost)
       OR (settled AND excluded.execution_attempt >= n.execution_attempt AND excluded.digest <> n.digest);
END $$
"""

CLOSE = """
CREATE FUNCTION close_execution(closing execution_closing, present_limit integer) RETURNS execution_closed
LANGUAGE plpgsql AS $$
DECLARE
    answer execution_closed;
    now_finished timestamptz;
    terminal bigint;
    unfinished bigint;
    total numeric;
BEGIN
    answer.execution_id := closing.execution_id;
    answer.closed := false;
    SELECT e.status, e.finished_at INTO answer.status, now_finished FROM execution e
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
           coalesce(sum(n.digest) FILTER (WHERE node_status_rank(n.status) = 4), 0)
      INTO terminal, unfinished, total
      FROM node_execution n WHERE n.tenant_id = closing.tenant_id AND n.execution_id = closing.execution_id;
    IF NOT closing.final
       AND (terminal <> closing.expected_count OR total % 9223372036854775808 <> closing.expected_digest) THEN
        SELECT jsonb_agg(jsonb_build_array(p.node_path, p.iteration, p.generation, p.digest)) INTO answer.present
          FROM (SELECT n.node_path, n.iteration, n.generation, n.digest FROM node_execution n
                 WHERE n.tenant_id = closing.tenant_id AND n.execution_id = closing.execution_id
                   AND node_status_rank(n.status) = 4 LIMIT present_limit) p;
        answer.present := coalesce(answer.present, '[]');
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
           attempt = closing.attempt, handled_failures = closing.handled_failures,
           started_at = coalesce(e.started_at, closing.finished_at), finished_at = closing.finished_at,
           duration_ms = greatest(0, coalesce(extract(epoch FROM closing.finished_at - e.started_at), 0) * 1000),
           expected_count = closing.expected_count, expected_digest = closing.expected_digest
     WHERE e.tenant_id = closing.tenant_id AND e.id = closing.execution_id;
    INSERT INTO outbox (tenant_id, kind, payload)
    SELECT closing.tenant_id, m->>'kind', m->'payload' FROM jsonb_array_elements(closing.messages) m;
    answer.closed := true;
    answer.status := closing.status;
    RETURN answer;
END $$
"""

# Counters come last and in one order, for a counter is shared by many executions and two batches must not deadlock.
RELEASE = """
CREATE FUNCTION release_holds(tenants uuid[], executions uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT e.tenant_id, h->>0 AS scope, h->>1 AS key, count(*) AS n
          FROM execution e, jsonb_array_elements(e.holds) h
         WHERE e.tenant_id = ANY (tenants) AND e.id = ANY (executions) AND jsonb_typeof(e.holds) = 'array'
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    LOOP
        UPDATE quota_counter q SET value = q.value - held.n
         WHERE q.tenant_id = held.tenant_id AND q.scope = held.scope AND q.key = held.key;
    END LOOP;
    UPDATE execution e SET holds = NULL
     WHERE e.tenant_id = ANY (tenants) AND e.id = ANY (executions) AND e.holds IS NOT NULL;
END $$
"""

WRITE = """
CREATE FUNCTION write_outcomes(
    tenants text, outcomes node_execution_row[], settled node_execution_row[],
    closings execution_closing[], present_limit integer
) RETURNS SETOF execution_closed
LANGUAGE plpgsql AS $$
DECLARE
    closing execution_closing;
    answer execution_closed;
    closed_tenants uuid[] := '{}';
    closed_ids uuid[] := '{}';
BEGIN
    PERFORM set_config('structforge.tenants', tenants, true);
    IF cardinality(outcomes) > 0 THEN
        PERFORM record_node_executions(outcomes, false);
    END IF;
    IF cardinality(settled) > 0 THEN
        PERFORM record_node_executions(settled, true);
    END IF;
    FOREACH closing IN ARRAY closings LOOP
        answer := close_execution(closing, present_limit);
        IF answer.closed THEN
            closed_tenants := closed_tenants || closing.tenant_id;
            closed_ids := closed_ids || closing.execution_id;
        END IF;
        RETURN NEXT answer;
    END LOOP;
    IF cardinality(closed_ids) > 0 THEN
        PERFORM release_holds(closed_tenants, closed_ids);
    END IF;
END $$
"""

SIGNATURES = [
    "node_status_rank(text)",
    "record_node_executions(node_execution_row[], boolean)",
    "close_execution(execution_closing, integer)",
    "release_holds(uuid[], uuid[])",
    "write_outcomes(text, node_execution_row[], node_execution_row[], execution_closing[], integer)",
]


def upgrade() -> None:
    for statement in [*TYPES, RANK, RECORD, CLOSE, RELEASE, WRITE]:
        op.get_bind().exec_driver_sql(statement)
    for signature in SIGNATURES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO structforge_app")
