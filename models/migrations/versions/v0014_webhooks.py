"""Webhooks: which workflow is called at which address, and the signatures that have been used.

The addresses follow the published version of a workflow that is neither a draft nor archived, by triggers, so that no
way of publishing can forget them; a paused workflow keeps its own, so that nobody takes them meanwhile. An address
belongs to one workflow of a tenant. Who takes another's raises SFH01.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

_TENANT_ROWS = "USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
# The webhooks of a version: triggers stand at the top of a document alone, and their parameters hold no templates.
_ADDRESSES = """
    SELECT regexp_replace(node #>> '{params,path}', '^/', '') AS path,
           upper(coalesce(node #>> '{params,method}', 'POST')) AS method, node ->> 'id' AS node
      FROM jsonb_path_query(v.spec::jsonb, 'strict $.nodes[*] ? (@.type == "webhook")', '{}', true) AS found (node)
     WHERE jsonb_typeof(node #> '{params,path}') = 'string' AND jsonb_typeof(node -> 'id') = 'string'
"""

STATEMENTS = [
    """
    CREATE TABLE hook (
        tenant_id uuid NOT NULL,
        path text NOT NULL,
        method text NOT NULL,
        workflow_id uuid NOT NULL,
        node text NOT NULL,
        PRIMARY KEY (tenant_id, path, method)
    )
    """,
    "CREATE INDEX hook_workflow_idx ON hook (tenant_id, workflow_id)",
    """
    CREATE TABLE hook_nonce (
        tenant_id uuid NOT NULL,
        credential text NOT NULL,
        nonce text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, credential, nonce)
    )
    """,
    "CREATE INDEX hook_nonce_expires_idx ON hook_nonce (tenant_id, expires_at)",
    *(
        statement
        for table, privileges in {
            "hook": "SELECT, INSERT, DELETE",
            "hook_nonce": "SELECT, INSERT, UPDATE (expires_at), DELETE",  # locking a row to delete it takes the third
        }.items()
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_rows ON {table} {_TENANT_ROWS}",
            f"GRANT {privileges} ON {table} TO structforge_app",
        )
    ),
    # Whose address a call names is known by the tenant's name or id alone.
    "CREATE POLICY hook_tenants ON tenant FOR SELECT USING ((SELECT structforge_purpose()) = 'hook')",
    f"""
    CREATE FUNCTION keep_hooks(whose uuid, which uuid) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        taken record;
    BEGIN
        DELETE FROM hook h WHERE h.tenant_id = whose AND h.workflow_id = which;
        INSERT INTO hook (tenant_id, path, method, workflow_id, node)
        SELECT whose, a.path, a.method, which, a.node
          FROM workflow w
          JOIN workflow_version v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id
                                 AND v.number = w.published_version
         CROSS JOIN LATERAL ({_ADDRESSES}) a
         WHERE w.tenant_id = whose AND w.id = which AND w.status IN ('active', 'paused')
         ORDER BY a.path, a.method  -- two that publish at once wait for each other, and never in a circle
        ON CONFLICT DO NOTHING;
        SELECT a.path, a.method INTO taken
          FROM workflow w
          JOIN workflow_version v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id
                                 AND v.number = w.published_version
         CROSS JOIN LATERAL ({_ADDRESSES}) a
          JOIN hook h ON h.tenant_id = whose AND h.path = a.path AND h.method = a.method AND h.workflow_id <> which
         WHERE w.tenant_id = whose AND w.id = which AND w.status IN ('active', 'paused') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'another workflow is called at % %', taken.method, taken.path
                  USING ERRCODE = 'SFH01',
                        DETAIL = json_build_object('method', taken.method, 'path', taken.path)::text;
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION keep_hooks_of_workflow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM keep_hooks(NEW.tenant_id, NEW.id);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER keep_hooks AFTER UPDATE ON workflow
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status
                       OR OLD.published_version IS DISTINCT FROM NEW.published_version)
    EXECUTE FUNCTION keep_hooks_of_workflow()
    """,
    # A workflow that is made and published at once has its row before its version.
    """
    CREATE FUNCTION keep_hooks_of_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM workflow w WHERE w.tenant_id = NEW.tenant_id AND w.id = NEW.workflow_id
                                            AND w.published_version = NEW.number) THEN
            PERFORM keep_hooks(NEW.tenant_id, NEW.workflow_id);
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER keep_hooks AFTER INSERT ON workflow_version
        FOR EACH ROW EXECUTE FUNCTION keep_hooks_of_version()
    """,
    # One round trip for a call: the tenant by name or id, and what its workflows that may start have at the path.
    """
    CREATE FUNCTION find_hooks(whose text, wanted text)
    RETURNS TABLE (tenant_id uuid, method text, workflow_id uuid, node text, version integer)
    LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        found_tenant uuid;
    BEGIN
        PERFORM set_config('structforge.purpose', 'hook', true);
        SELECT t.id INTO found_tenant FROM tenant t WHERE t.name = whose OR t.id::text = lower(whose)
         ORDER BY t.name = whose LIMIT 1;  -- an id wins over a name that looks like one
        PERFORM set_config('structforge.purpose', '', true);
        IF found_tenant IS NULL THEN
            RETURN;
        END IF;
        PERFORM set_config('structforge.tenants', '{' || found_tenant || '}', true);
        RETURN QUERY
        SELECT h.tenant_id, h.method, h.workflow_id, h.node, w.published_version
          FROM hook h JOIN workflow w ON w.tenant_id = h.tenant_id AND w.id = h.workflow_id
         WHERE h.tenant_id = found_tenant AND h.path = wanted AND w.status = 'active'
         ORDER BY h.method;
    END $$
    """,
    # Whether the nonce is new. Each use takes a few old ones away, so the table stays as small as its window.
    """
    CREATE FUNCTION spend_nonce(whose uuid, name text, value text, until timestamptz) RETURNS boolean
    LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM set_config('structforge.tenants', '{' || whose || '}', true);
        DELETE FROM hook_nonce n WHERE n.tenant_id = whose AND (n.credential, n.nonce) IN (
            SELECT o.credential, o.nonce FROM hook_nonce o
             WHERE o.tenant_id = whose AND o.expires_at < now() LIMIT 10 FOR UPDATE SKIP LOCKED);
        INSERT INTO hook_nonce (tenant_id, credential, nonce, expires_at) VALUES (whose, name, value, until)
            ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END $$
    """,
    # The workflows that are published: for this one statement the owner sees them all. Of two at one address the
    # older keeps it.
    *(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table in ("workflow", "workflow_version")),
    f"""
    INSERT INTO hook (tenant_id, path, method, workflow_id, node)
    SELECT w.tenant_id, a.path, a.method, w.id, a.node
      FROM workflow w
      JOIN workflow_version v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id AND v.number = w.published_version
     CROSS JOIN LATERAL ({_ADDRESSES}) a
     WHERE w.status IN ('active', 'paused') ORDER BY w.id
    ON CONFLICT DO NOTHING
    """,
    *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in ("workflow", "workflow_version")),
    *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in ("hook", "hook_nonce")),
]
FUNCTIONS = (
    "keep_hooks(uuid, uuid)",
    "keep_hooks_of_workflow()",
    "keep_hooks_of_version()",
    "find_hooks(text, text)",
    "spend_nonce(uuid, text, text, timestamptz)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO structforge_app")
