"""permissions."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
