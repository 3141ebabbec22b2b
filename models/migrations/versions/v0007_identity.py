"""People: accounts of the whole installation, their memberships of tenants, their logins, and whose an API key is.

An account stands outside the tenants. A tenant sees the accounts of its members; sign-in sees the one account,
membership or session whose address, id or secret it has been shown. The rows of `app_user` become accounts and
memberships; the table itself stays, because processes of the previous version write to it while they are replaced.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

ACCOUNTS = [
    """
    CREATE TABLE user_account (
        id uuid PRIMARY KEY,
        email text NOT NULL CONSTRAINT user_account_email_key UNIQUE CHECK (email = lower(email)),
        display_name text NOT NULL DEFAULT '',
        password_hash text,
        email_verified boolean NOT NULL DEFAULT false,
        disabled_at timestamptz,
        password_changed_at timestamptz,
        last_login_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE oidc_identity (
        issuer text NOT NULL,
        subject text NOT NULL,
        user_id uuid NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX oidc_identity_user_idx ON oidc_identity (user_id)",
    """
    CREATE TABLE membership (
        tenant_id uuid NOT NULL,
        user_id uuid NOT NULL,
        role text NOT NULL CHECK (role IN ('admin', 'member')),
        created_at timestamptz NOT NULL DEFAULT now(),
        accepted_at timestamptz,
        invitation_hash text CONSTRAINT membership_invitation_key UNIQUE,
        invitation_expires_at timestamptz,
        PRIMARY KEY (tenant_id, user_id)
    )
    """,
    "CREATE INDEX membership_user_idx ON membership (user_id)",
    """
    CREATE TABLE login_session (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        user_id uuid NOT NULL,
        family_hash text NOT NULL CONSTRAINT login_session_family_key UNIQUE,
        token_hash text NOT NULL,
        method text NOT NULL CHECK (method IN ('password', 'oidc', 'invitation')),
        created_at timestamptz NOT NULL DEFAULT now(),
        refreshed_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_reason text,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX login_session_user_idx ON login_session (user_id)",
    "ALTER TABLE api_key ADD COLUMN user_id uuid",
    "ALTER TABLE api_key ADD COLUMN hint text NOT NULL DEFAULT ''",
    "CREATE INDEX api_key_user_idx ON api_key (tenant_id, user_id) WHERE user_id IS NOT NULL",
]

# Forced security binds the owner too, so it steps over it while it carries the rows. People had no role before: the
# first of each tenant was its administrator.
CARRY_OVER = [
    "ALTER TABLE app_user NO FORCE ROW LEVEL SECURITY",
    """
    INSERT INTO user_account (id, email, display_name, password_hash, created_at)
    SELECT DISTINCT ON (lower(email)) id, lower(email), display_name, password_hash, created_at
      FROM app_user ORDER BY lower(email), id
    """,
    """
    INSERT INTO membership (tenant_id, user_id, role, created_at, accepted_at)
    SELECT p.tenant_id, a.id, 'member', min(p.created_at), min(p.created_at)
      FROM app_user p JOIN user_account a ON a.email = lower(p.email) GROUP BY p.tenant_id, a.id
    """,
    """
    UPDATE membership m SET role = 'admin'
      FROM (SELECT DISTINCT ON (tenant_id) tenant_id, lower(email) AS email FROM app_user ORDER BY tenant_id, id) first
      JOIN user_account a ON a.email = first.email
     WHERE m.tenant_id = first.tenant_id AND m.user_id = a.id
    """,
    "ALTER TABLE app_user FORCE ROW LEVEL SECURITY",
]

PRIVILEGES = {
    "user_account": "SELECT, INSERT, UPDATE",
    "oidc_identity": "SELECT, INSERT",
    "membership": "SELECT, INSERT, UPDATE, DELETE",
    "login_session": "SELECT, INSERT, UPDATE, DELETE",
}
TENANT_OWNED = ("membership", "login_session")
SIGNING_IN = "(SELECT structforge_purpose()) = 'sign_in'"
SHOWN = "(SELECT structforge_sign_in())"

POLICIES = [
    """CREATE POLICY member_accounts ON user_account FOR SELECT USING (EXISTS (
           SELECT 1 FROM membership m
            WHERE m.user_id = user_account.id AND m.tenant_id = ANY ((SELECT structforge_tenants())::uuid[])))""",
    f"""CREATE POLICY sign_in_seen ON user_account FOR SELECT
        USING ({SIGNING_IN} AND (email = {SHOWN} OR id::text = {SHOWN}))""",
    f"CREATE POLICY sign_in_made ON user_account FOR INSERT WITH CHECK ({SIGNING_IN} AND email = {SHOWN})",
    f"""CREATE POLICY sign_in_changed ON user_account FOR UPDATE
        USING ({SIGNING_IN} AND (email = {SHOWN} OR id::text = {SHOWN}))""",
    f"""CREATE POLICY sign_in_by_provider ON oidc_identity
        USING ({SIGNING_IN} AND issuer || ' ' || subject = {SHOWN})""",
    f"CREATE POLICY sign_in_memberships ON membership FOR SELECT USING ({SIGNING_IN} AND user_id::text = {SHOWN})",
    f"CREATE POLICY sign_in_by_invitation ON membership FOR SELECT USING ({SIGNING_IN} AND invitation_hash = {SHOWN})",
    f"""CREATE POLICY sign_in_sessions ON login_session
        USING ({SIGNING_IN} AND (family_hash = {SHOWN} OR user_id::text = {SHOWN}))""",
    f"""CREATE POLICY sign_in_tenants ON tenant FOR SELECT USING ({SIGNING_IN} AND EXISTS (
            SELECT 1 FROM membership m WHERE m.tenant_id = tenant.id AND m.user_id::text = {SHOWN}))""",
    """CREATE POLICY installation_tenants ON tenant FOR SELECT
       USING ((SELECT structforge_purpose()) = 'installation')""",
]


def upgrade() -> None:
    for statement in [*ACCOUNTS, *CARRY_OVER]:
        op.get_bind().exec_driver_sql(statement)
    for table, privileges in PRIVILEGES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT {privileges} ON {table} TO structforge_app")
    for table in TENANT_OWNED:
        op.execute(
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
        )
    for policy in POLICIES:
        op.get_bind().exec_driver_sql(policy)
