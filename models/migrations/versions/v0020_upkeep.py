"""Upkeep: what was repaired and forgotten by kind, and the functions that repair, forget, and make and drop months.

Row-level security binds the owner too. Its functions name their purpose, under policies that are the owner's alone, so
that the application gains no way to other rows or to delete any.
"""

from alembic import op

from models.migrations import upkeep_repairs, upkeep_retention

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for statement in [*upkeep_repairs.TABLES, *upkeep_repairs.POLICIES]:
        run(statement)
    for table in upkeep_retention.OWNED_ROWS:
        run(f"CREATE POLICY upkeep_rows ON {table} TO CURRENT_USER USING ((SELECT structforge_purpose()) = 'upkeep')")
    for function in [*upkeep_retention.FUNCTIONS, *upkeep_repairs.FUNCTIONS]:
        run(function)
    for signature in [
        *upkeep_retention.FOR_THE_APPLICATION,
        *upkeep_retention.FOR_THE_OWNER,
        *upkeep_repairs.FOR_THE_APPLICATION,
    ]:
        run(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
    for signature in [*upkeep_retention.FOR_THE_APPLICATION, *upkeep_repairs.FOR_THE_APPLICATION]:
        run(f"GRANT EXECUTE ON FUNCTION {signature} TO structforge_app")
