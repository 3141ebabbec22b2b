"""Row-level security and grants: the second wall between tenants.

The application's role sees the rows of the tenants named in `structforge.tenants`, which each transaction sets for
itself; with nothing set it sees nothing. Security is forced, so it binds the owner too. Partitions carry no grant at
all: the application reaches rows through their parents alone, where the policies stand.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

GRANTS = {
    "tenant": "SELECT, INSERT, UPDATE",
    "app_user": "SELECT, INSERT, UPDATE, DELETE",
    "api_key": "SELECT, INSERT, UPDATE, DELETE",
    "workflow": "SELECT, INSERT, UPDATE, DELETE",
    "workflow_version": "SELECT, INSERT",
    "execution": "SELECT, INSERT, UPDATE",
    "node_execution": "SELECT, INSERT, UPDATE",
    "execution_log": "SELECT, INSERT",
    "idempotency_key": "SELECT, INSERT, DELETE",
    "outbox": "SELECT, INSERT, UPDATE, DELETE",
    "quota_counter": "SELECT, INSERT, UPDATE, DELETE",
}

FUNCTIONS = [
    """
    CREATE FUNCTION structforge_tenants() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('structforge.tenants', true), '')::uuid[]
    """,
    """
    CREATE FUNCTION structforge_purpose() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('structforge.purpose', true), '')
    """,
    """
    CREATE FUNCTION structforge_sign_in() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('structforge.sign_in', true), '')
    """,
]

# Before anyone is known, sign-in may see the one row that it has the secret of. The relay sees what waits to be
# started or delivered, the reconciler what it compares; neither may write beyond what it repairs.
NAMED_POLICIES = [
    """CREATE POLICY sign_in_by_key ON api_key FOR SELECT
       USING ((SELECT structforge_purpose()) = 'sign_in' AND hash = (SELECT structforge_sign_in()))""",
    """CREATE POLICY sign_in_by_email ON app_user FOR SELECT
       USING ((SELECT structforge_purpose()) = 'sign_in' AND email = (SELECT structforge_sign_in()))""",
    """CREATE POLICY relay_starts ON execution FOR SELECT
       USING ((SELECT structforge_purpose()) = 'relay' AND status = 'pending')""",
    """CREATE POLICY relay_messages ON outbox FOR SELECT USING ((SELECT structforge_purpose()) = 'relay')""",
    """CREATE POLICY relay_delivery ON outbox FOR UPDATE USING ((SELECT structforge_purpose()) = 'relay')""",
    """CREATE POLICY reconcile_tenants ON tenant FOR SELECT
       USING ((SELECT structforge_purpose()) IN ('relay', 'reconciler'))""",
    """CREATE POLICY reconcile_executions ON execution FOR SELECT
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    """CREATE POLICY reconcile_keys_seen ON idempotency_key FOR SELECT
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    """CREATE POLICY reconcile_keys ON idempotency_key FOR DELETE
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    """CREATE POLICY reconcile_messages_seen ON outbox FOR SELECT
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
    """CREATE POLICY reconcile_messages ON outbox FOR DELETE
       USING ((SELECT structforge_purpose()) = 'reconciler' AND delivered_at IS NOT NULL)""",
    """CREATE POLICY reconcile_counters ON quota_counter FOR SELECT
       USING ((SELECT structforge_purpose()) = 'reconciler')""",
]


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    for table, privileges in GRANTS.items():
        column = "id" if table == "tenant" else "tenant_id"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        # The sub-select makes it an init plan: read once a statement, not once a row.
        op.execute(
            f"CREATE POLICY tenant_rows ON {table} USING ({column} = ANY ((SELECT structforge_tenants())::uuid[]))"
        )
        op.execute(f"GRANT {privileges} ON {table} TO structforge_app")
    for policy in NAMED_POLICIES:
        op.execute(policy)
    op.execute("GRANT USAGE ON SEQUENCE node_execution_seq, execution_log_seq TO structforge_app")
    op.execute("GRANT SELECT ON alembic_version TO structforge_app")
