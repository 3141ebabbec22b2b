"""quotas."""

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
