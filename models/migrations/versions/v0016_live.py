"""What the live streams ask PostgreSQL: which transaction changed a row, and what ended lately.

The rows themselves stay as they are, and so do the functions that write them: PostgreSQL keeps the number of the
transaction with every row. The index serves streams of a whole tenant, and lists by end.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

# A row keeps the lower half of the number. The upper half is that of the newest transaction, or one less: no row is
# older than 2^31 transactions without being frozen, and a frozen one has been seen by everybody.
TRANSACTION_OF = """
CREATE FUNCTION transaction_of(changed xid, newest pg_snapshot) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(3, pg_snapshot_xmax(newest)::text::bigint
    - ((pg_snapshot_xmax(newest)::text::bigint - changed::text::bigint) & 4294967295))
"""

WAS_OVER_IN = """
CREATE FUNCTION was_over_in(transaction bigint, known pg_snapshot) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_visible_in_snapshot(transaction::text::xid8, known)
"""

FINISHED = """
CREATE INDEX execution_finished_idx ON execution (tenant_id, finished_at) WHERE finished_at IS NOT NULL
"""

SIGNATURES = ["transaction_of(xid, pg_snapshot)", "was_over_in(bigint, pg_snapshot)"]


def upgrade() -> None:
    for statement in (TRANSACTION_OF, WAS_OVER_IN):
        op.get_bind().exec_driver_sql(statement)
    for signature in SIGNATURES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO structforge_app")
    op.execute(FINISHED)
