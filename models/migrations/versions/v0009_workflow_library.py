"""workflow library."""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
