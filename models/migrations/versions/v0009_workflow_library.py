"""Workflows as a library: folders, tags, drafts and pauses, templates, and the end of old versions.

The application may still not delete a version. Two functions of the owner do it, and hold the rules themselves: what is
published, the latest, or was ever executed stays, and a workflow goes only when it is archived and nothing of it runs.
They run under the same row policies, for security is forced on the owner too.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = [
    """
    CREATE TABLE folder (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        parent_id uuid,
        name text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT folder_parent_fkey FOREIGN KEY (tenant_id, parent_id) REFERENCES folder (tenant_id, id),
        CONSTRAINT folder_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, parent_id, name)
    )
    """,
    "ALTER TABLE workflow DROP CONSTRAINT workflow_status_check",
    """
    ALTER TABLE workflow
        ADD COLUMN folder_id uuid,
        ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
        ADD CONSTRAINT workflow_status_check CHECK (status IN ('draft', 'active', 'paused', 'archived')),
        ADD CONSTRAINT workflow_folder_fkey FOREIGN KEY (tenant_id, folder_id) REFERENCES folder (tenant_id, id)
    """,
    "CREATE INDEX workflow_folder_idx ON workflow (tenant_id, folder_id)",
    "CREATE INDEX workflow_updated_idx ON workflow (tenant_id, updated_at, id)",
    "ALTER TABLE workflow_version ADD COLUMN valid boolean NOT NULL DEFAULT true",
    # Text equality is leakproof, so row security lets this index find tags; it would not use one of an array.
    """
    CREATE TABLE workflow_tag (
        tenant_id uuid NOT NULL,
        tag text NOT NULL,
        workflow_id uuid NOT NULL,
        PRIMARY KEY (tenant_id, tag, workflow_id),
        CONSTRAINT workflow_tag_workflow_fkey FOREIGN KEY (tenant_id, workflow_id)
            REFERENCES workflow (tenant_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX workflow_tag_workflow_idx ON workflow_tag (tenant_id, workflow_id)",
    """
    CREATE TABLE template (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        spec json NOT NULL,
        workflow_id uuid,
        author text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT template_name_key UNIQUE (tenant_id, name)
    )
    """,
]

# Before drafts there were such: saved, and never published. The owner is bound by the policies, so they rest meanwhile.
DRAFTS = [
    "ALTER TABLE workflow NO FORCE ROW LEVEL SECURITY",
    "UPDATE workflow SET status = 'draft' WHERE status = 'active' AND published_version IS NULL",
    "ALTER TABLE workflow FORCE ROW LEVEL SECURITY",
]

DROP_OLD_VERSIONS = """
CREATE FUNCTION drop_old_versions(tenant uuid, workflow_id uuid, keep integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM workflow_version v USING workflow w
         WHERE w.tenant_id = $1 AND w.id = $2 AND v.tenant_id = $1 AND v.workflow_id = $2
           AND v.number <= w.latest_version - greatest($3, 1) AND v.number IS DISTINCT FROM w.published_version
           AND v.id NOT IN (SELECT e.version_id FROM execution e WHERE e.tenant_id = $1 AND e.workflow_id = $2)
        RETURNING 1)
    SELECT count(*)::integer FROM gone
$$
"""

DELETE_WORKFLOW = """
CREATE FUNCTION delete_workflow(tenant uuid, workflow_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE found_status text;
BEGIN
    SELECT w.status INTO found_status FROM workflow w WHERE w.tenant_id = $1 AND w.id = $2 FOR UPDATE;
    IF found_status IS NULL THEN RETURN 'missing'; END IF;
    IF found_status <> 'archived' THEN RETURN 'not_archived'; END IF;
    IF EXISTS (SELECT FROM execution e WHERE e.tenant_id = $1 AND e.workflow_id = $2 AND e.finished_at IS NULL) THEN
        RETURN 'running';
    END IF;
    DELETE FROM workflow_version v WHERE v.tenant_id = $1 AND v.workflow_id = $2;
    DELETE FROM workflow w WHERE w.tenant_id = $1 AND w.id = $2;
    RETURN 'deleted';
END $$
"""

GRANTS = {
    "folder": "SELECT, INSERT, UPDATE, DELETE",
    "workflow_tag": "SELECT, INSERT, DELETE",
    "template": "SELECT, INSERT, DELETE",
}
SIGNATURES = ["drop_old_versions(uuid, uuid, integer)", "delete_workflow(uuid, uuid)"]


def upgrade() -> None:
    for statement in [*TABLES, *DRAFTS, DROP_OLD_VERSIONS, DELETE_WORKFLOW]:
        op.get_bind().exec_driver_sql(statement)
    for table, privileges in GRANTS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
        )
        op.execute(f"GRANT {privileges} ON {table} TO structforge_app")
    for signature in SIGNATURES:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO structforge_app")
