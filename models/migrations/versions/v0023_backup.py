"""Backups: the owner may read every row for that purpose, and nobody else may.

Forced row-level security binds the owner too. A table of a later revision needs the policy as well; a backup refuses
to begin while one is without it.
"""

from alembic import op

revision = "0023"
down_revision = "0022"

POLICIES = """
DO $$
DECLARE
    walled text;
BEGIN
    FOR walled IN SELECT relname FROM pg_class
                   WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                     AND relforcerowsecurity AND NOT relispartition
    LOOP
        EXECUTE format('CREATE POLICY backup_rows ON %I FOR SELECT TO CURRENT_USER
                        USING ((SELECT structforge_purpose()) = ''backup'')', walled);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(POLICIES)
