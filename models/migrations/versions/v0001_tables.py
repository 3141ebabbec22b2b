"""Tables, partitioned where they grow.

`execution`, `node_execution` and `execution_log` divide by tenant, then by month of the execution's id.
`<table>_shared` holds every tenant without a branch of its own; its default partition catches rows for which no month
stands ready, so that an insert never fails for lack of a partition.
"""

from alembic import op

revision = "0001"
down_revision = None

DEFINITIONS = """
CREATE TABLE tenant (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT tenant_name_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app_user (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    email text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT app_user_email_key UNIQUE (tenant_id, email)
);

CREATE TABLE api_key (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    hash text NOT NULL CONSTRAINT api_key_hash_key UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE workflow (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    latest_version integer NOT NULL DEFAULT 0,
    published_version integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT workflow_name_key UNIQUE (tenant_id, name)
);
CREATE INDEX workflow_owner_status_created_idx ON workflow (tenant_id, owner, status, created_at);

CREATE TABLE workflow_version (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    number integer NOT NULL,
    spec json NOT NULL,
    digest text NOT NULL,
    author text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT workflow_version_number_key UNIQUE (tenant_id, workflow_id, number)
);

CREATE TABLE execution (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    version_id uuid NOT NULL,
    workflow_name text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'paused', 'success', 'failed', 'cancelled', 'timed_out')),
    trigger text NOT NULL DEFAULT 'manual',
    trigger_node text,
    input json,
    output json,
    error json,
    parent_execution_id uuid,
    rerun_of uuid,
    rerun_from text,
    attempt integer NOT NULL DEFAULT 1,
    node_total integer NOT NULL DEFAULT 0,
    handled_failures integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 3,
    metadata jsonb NOT NULL DEFAULT '{}',
    holds jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms double precision,
    expected_count bigint,
    expected_digest bigint,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY LIST (tenant_id);
CREATE INDEX execution_workflow_status_created_idx ON execution (tenant_id, workflow_id, status, created_at);
CREATE INDEX execution_parent_idx ON execution (tenant_id, parent_execution_id) WHERE parent_execution_id IS NOT NULL;
CREATE INDEX execution_open_idx ON execution (status, created_at) WHERE finished_at IS NULL;
CREATE INDEX execution_labels_idx ON execution USING gin (metadata jsonb_path_ops) WHERE metadata <> '{}'::jsonb;

CREATE SEQUENCE node_execution_seq;
CREATE TABLE node_execution (
    tenant_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    node_path text NOT NULL,
    iteration integer[] NOT NULL,
    generation integer NOT NULL,
    node_type text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'pending', 'running', 'retrying', 'waiting', 'success', 'failed', 'skipped', 'pruned', 'cancelled')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    execution_attempt integer NOT NULL DEFAULT 1,
    port text,
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms double precision,
    input json,
    output json,
    error json,
    assigned json,
    digest bigint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT nextval('node_execution_seq'),
    worker text,
    cached boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, execution_id, node_path, iteration, generation)
) PARTITION BY LIST (tenant_id);

CREATE SEQUENCE execution_log_seq;
CREATE TABLE execution_log (
    tenant_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    seq bigint NOT NULL DEFAULT nextval('execution_log_seq'),
    node_path text,
    iteration integer[],
    attempt integer,
    level text NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
    message text NOT NULL,
    fields jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, execution_id, seq)
) PARTITION BY LIST (tenant_id);
CREATE INDEX execution_log_node_idx ON execution_log (tenant_id, execution_id, node_path);

CREATE TABLE idempotency_key (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    execution_id uuid NOT NULL,
    request_digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, key)
);
CREATE INDEX idempotency_key_created_idx ON idempotency_key (created_at);

CREATE TABLE outbox (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_undelivered_idx ON outbox (created_at) WHERE delivered_at IS NULL;

CREATE TABLE quota_counter (
    tenant_id uuid NOT NULL,
    scope text NOT NULL,
    key text NOT NULL,
    value bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, scope, key)
);
"""

BRANCHES = """
CREATE TABLE {table}_shared PARTITION OF {table} DEFAULT PARTITION BY RANGE ({key});
CREATE TABLE {table}_shared_default PARTITION OF {table}_shared DEFAULT;
ALTER TABLE {table}_shared ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table}_shared_default ENABLE ROW LEVEL SECURITY;
"""

# pg-partsmith asks a default partition for min(key), and PostgreSQL has no min(uuid) before version 19.
SMALLEST_UUID = """
CREATE FUNCTION uuid_smaller(uuid, uuid) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN least($1, $2);
CREATE AGGREGATE min(uuid)
    (SFUNC = uuid_smaller, STYPE = uuid, SORTOP = <, COMBINEFUNC = uuid_smaller, PARALLEL = SAFE);
"""

PARTITIONED = {"execution": "id", "node_execution": "execution_id", "execution_log": "execution_id"}


def upgrade() -> None:
    branches = [BRANCHES.format(table=table, key=key) for table, key in PARTITIONED.items()]
    for script in [DEFINITIONS, SMALLEST_UUID, *branches]:
        for statement in script.split(";\n"):
            if statement.strip():
                op.get_bind().exec_driver_sql(statement)
