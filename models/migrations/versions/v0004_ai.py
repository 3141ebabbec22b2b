"""AI models, budgets, and the ledger of calls. A workflow's row in `ai_spend` moves with the call that it counts."""

from alembic import op

revision = "0004"
down_revision = "0003"

DEFINITIONS = [
    """
    CREATE TABLE ai_model (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        base_url text,
        credential text,
        defaults jsonb NOT NULL DEFAULT '{}',
        price_input numeric CHECK (price_input >= 0),
        price_output numeric CHECK (price_output >= 0),
        price_image numeric CHECK (price_image >= 0),
        requests_per_minute integer CHECK (requests_per_minute > 0),
        tokens_per_minute integer CHECK (tokens_per_minute > 0),
        concurrency integer CHECK (concurrency > 0),
        fallback text[] NOT NULL DEFAULT '{}',
        fallback_on text[] NOT NULL DEFAULT '{budget}',
        enabled boolean NOT NULL DEFAULT true,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT ai_model_name_key UNIQUE (tenant_id, name)
    )
    """,
    """
    CREATE TABLE ai_budget (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        scope text NOT NULL CHECK (scope IN ('tenant', 'workflow')),
        key text NOT NULL DEFAULT '',
        period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
        tokens bigint CHECK (tokens >= 0),
        cost numeric CHECK (cost >= 0),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT ai_budget_scope_key UNIQUE (tenant_id, scope, key, period),
        CHECK ((scope = 'tenant') = (key = '')),
        CHECK (tokens IS NOT NULL OR cost IS NOT NULL)
    )
    """,
    """
    CREATE TABLE ai_call (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        execution_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        node_path text NOT NULL,
        iteration integer[] NOT NULL,
        generation integer NOT NULL,
        attempt integer NOT NULL,
        ask integer NOT NULL DEFAULT 0,
        holder uuid NOT NULL,
        model text NOT NULL,
        provider text NOT NULL,
        status text NOT NULL DEFAULT 'reserved' CHECK (status IN ('reserved', 'settled', 'released')),
        reserved_tokens bigint NOT NULL DEFAULT 0,
        reserved_cost numeric NOT NULL DEFAULT 0,
        input_tokens bigint NOT NULL DEFAULT 0,
        output_tokens bigint NOT NULL DEFAULT 0,
        images integer NOT NULL DEFAULT 0,
        cost numeric,
        error_code text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX ai_call_execution_idx ON ai_call (tenant_id, execution_id)",
    "CREATE INDEX ai_call_workflow_idx ON ai_call (tenant_id, workflow_id, created_at)",
    "CREATE INDEX ai_call_created_idx ON ai_call (tenant_id, created_at)",
    "CREATE INDEX ai_call_open_idx ON ai_call (tenant_id, expires_at) WHERE status = 'reserved'",
    """
    CREATE TABLE ai_spend (
        tenant_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        day date NOT NULL,
        calls bigint NOT NULL DEFAULT 0,
        tokens bigint NOT NULL DEFAULT 0,
        cost numeric NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant_id, workflow_id, day)
    )
    """,
]

GRANTS = {
    "ai_model": "SELECT, INSERT, UPDATE, DELETE",
    "ai_budget": "SELECT, INSERT, UPDATE, DELETE",
    "ai_call": "SELECT, INSERT, UPDATE",
    "ai_spend": "SELECT, INSERT, UPDATE",
}


def upgrade() -> None:
    for statement in DEFINITIONS:
        op.get_bind().exec_driver_sql(statement)
    for table, privileges in GRANTS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
        )
        op.execute(f"GRANT {privileges} ON {table} TO structforge_app")
