"""Credentials, sealed by the application before they come here, and which versions of workflows name them.

A trigger notes the names when a version is saved, so that no path of saving can forget it: only nodes have a
`credential`, and nodes stand in lists called `nodes`, at any depth.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

_TENANT_ROWS = "USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
_NAMES = """
    SELECT DISTINCT v.tenant_id, v.id, named.name #>> '{}'
      FROM jsonb_path_query(v.spec::jsonb, 'strict $.**.nodes[*].credential', '{}', true) AS named (name)
     WHERE jsonb_typeof(named.name) = 'string'
"""

# Whose a credential is, and its name and type, stay for good, whoever changes the rest.
_CHANGING = (
    "description, allowed_hosts, owner_id, users, for_all_members, version, key_id, wrapped_key, ciphertext, updated_at"
)

STATEMENTS = [
    """
    CREATE TABLE credential (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        type text NOT NULL,
        description text NOT NULL DEFAULT '',
        allowed_hosts text[] NOT NULL DEFAULT '{}',
        owner_id uuid,
        users uuid[] NOT NULL DEFAULT '{}',
        for_all_members boolean NOT NULL DEFAULT true,
        version integer NOT NULL CHECK (version > 0),
        key_id text NOT NULL,
        wrapped_key bytea NOT NULL,
        ciphertext bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT credential_name_key UNIQUE (tenant_id, name)
    )
    """,
    "CREATE INDEX credential_key_idx ON credential (key_id)",
    """
    CREATE TABLE credential_use (
        tenant_id uuid NOT NULL,
        version_id uuid NOT NULL,
        name text NOT NULL,
        PRIMARY KEY (tenant_id, version_id, name),
        CONSTRAINT credential_use_version_fkey FOREIGN KEY (tenant_id, version_id)
            REFERENCES workflow_version (tenant_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX credential_use_name_idx ON credential_use (tenant_id, name)",
    *(
        statement
        for table, privileges in {
            "credential": f"SELECT, INSERT, UPDATE ({_CHANGING}), DELETE",
            "credential_use": "SELECT, INSERT",
        }.items()
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_rows ON {table} {_TENANT_ROWS}",
            f"GRANT {privileges} ON {table} TO structforge_app",
        )
    ),
    # A rotation of keys sees all tenants' rows and may change what wraps them, not whose they are.
    """CREATE POLICY rotation_seen ON credential FOR SELECT
       USING ((SELECT structforge_purpose()) = 'key_rotation')""",
    """CREATE POLICY rotation ON credential FOR UPDATE
       USING ((SELECT structforge_purpose()) = 'key_rotation')""",
    f"""
    CREATE FUNCTION note_credential_uses() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE v workflow_version := NEW;
    BEGIN
        INSERT INTO credential_use (tenant_id, version_id, name) {_NAMES} ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_credential_uses AFTER INSERT ON workflow_version
        FOR EACH ROW EXECUTE FUNCTION note_credential_uses()
    """,
    # The versions that there are: for this one statement the owner sees them all.
    "ALTER TABLE workflow_version NO FORCE ROW LEVEL SECURITY",
    """
    INSERT INTO credential_use (tenant_id, version_id, name)
    SELECT DISTINCT v.tenant_id, v.id, named.name #>> '{}'
      FROM workflow_version v
     CROSS JOIN LATERAL jsonb_path_query(v.spec::jsonb, 'strict $.**.nodes[*].credential', '{}', true) AS named (name)
     WHERE jsonb_typeof(named.name) = 'string'
    """,
    "ALTER TABLE workflow_version FORCE ROW LEVEL SECURITY",
    *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in ("credential", "credential_use")),
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
