"""Who may do what on a workflow, links that share one, and the audit log.

A grant to the nil UUID is one to all members of the tenant. Whoever makes a workflow owns it from that statement on;
one that no person made, and each that is older than this migration, is open to all members as editors. The audit log
takes no UPDATE and no DELETE from the application; what is older than its retention goes by a function of the owner's.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

ALL_MEMBERS = "'00000000-0000-0000-0000-000000000000'::uuid"
SHORTEST_AUDIT = "interval '30 days'"

GRANTS = [
    f"""
    CREATE TABLE workflow_grant (
        tenant_id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        member_id uuid NOT NULL,
        role text NOT NULL CHECK (role IN ('viewer', 'executor', 'editor', 'owner')),
        granted_by text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, workflow_id, member_id),
        CONSTRAINT workflow_grant_owner_is_a_person CHECK (role <> 'owner' OR member_id <> {ALL_MEMBERS})
    )
    """,
    "CREATE INDEX workflow_grant_member_idx ON workflow_grant (tenant_id, member_id, workflow_id)",
    # The owner is bound by the policies too, so it must step over them to see the workflows there are.
    "ALTER TABLE workflow NO FORCE ROW LEVEL SECURITY",
    f"""INSERT INTO workflow_grant (tenant_id, workflow_id, member_id, role)
        SELECT tenant_id, id, {ALL_MEMBERS}, 'editor' FROM workflow""",
    "ALTER TABLE workflow FORCE ROW LEVEL SECURITY",
    f"""
    CREATE FUNCTION grant_new_workflow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.owner ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' THEN
            INSERT INTO workflow_grant (tenant_id, workflow_id, member_id, role)
            VALUES (NEW.tenant_id, NEW.id, NEW.owner::uuid, 'owner');
        ELSE
            INSERT INTO workflow_grant (tenant_id, workflow_id, member_id, role)
            VALUES (NEW.tenant_id, NEW.id, {ALL_MEMBERS}, 'editor');
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER workflow_granted AFTER INSERT ON workflow FOR EACH ROW EXECUTE FUNCTION grant_new_workflow()",
    """
    CREATE FUNCTION forget_workflow_grants() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM workflow_grant WHERE tenant_id = OLD.tenant_id AND workflow_id = OLD.id;
        DELETE FROM share_link WHERE tenant_id = OLD.tenant_id AND workflow_id = OLD.id;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER workflow_forgotten AFTER DELETE ON workflow FOR EACH ROW EXECUTE FUNCTION forget_workflow_grants()",
    # Who comes back to a tenant finds no roles of before; what had no other owner is the administrators' alone.
    """
    CREATE FUNCTION forget_member_grants() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM workflow_grant WHERE tenant_id = OLD.tenant_id AND member_id = OLD.user_id;
        UPDATE workflow SET owner = '' WHERE tenant_id = OLD.tenant_id AND owner = OLD.user_id::text;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER member_forgotten AFTER DELETE ON membership FOR EACH ROW EXECUTE FUNCTION forget_member_grants()",
]

# One round trip each, for they stand before every request of a person. A greater number is a greater role.
ROLES = [
    """
    CREATE FUNCTION role_rank(role text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_position(ARRAY['viewer', 'executor', 'editor', 'owner'], role)
    """,
    f"""
    CREATE FUNCTION role_on_workflow(tenant uuid, workflow uuid, member uuid) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
        tenants_set text := set_config('structforge.tenants', '{{' || tenant || '}}', true);
    BEGIN
        RETURN (SELECT max(role_rank(g.role)) FROM workflow_grant g
                 WHERE g.tenant_id = tenant AND g.workflow_id = workflow AND g.member_id IN (member, {ALL_MEMBERS}));
    END $$
    """,
    f"""
    CREATE FUNCTION role_on_execution(tenant uuid, execution uuid, member uuid, OUT workflow uuid, OUT rank integer)
    LANGUAGE plpgsql AS $$
    DECLARE
        tenants_set text := set_config('structforge.tenants', '{{' || tenant || '}}', true);
    BEGIN
        SELECT e.workflow_id INTO workflow FROM execution e WHERE e.tenant_id = tenant AND e.id = execution;
        SELECT max(role_rank(g.role)) INTO rank FROM workflow_grant g
         WHERE g.tenant_id = tenant AND g.workflow_id = workflow AND g.member_id IN (member, {ALL_MEMBERS});
    END $$
    """,
]

SHARES = [
    """
    CREATE TABLE share_link (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        workflow_id uuid NOT NULL,
        hash text NOT NULL CONSTRAINT share_link_hash_key UNIQUE,
        role text NOT NULL CHECK (role IN ('viewer', 'executor')),
        note text NOT NULL DEFAULT '',
        created_by text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        last_used_at timestamptz,
        uses bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX share_link_workflow_idx ON share_link (tenant_id, workflow_id, id)",
    """CREATE POLICY sign_in_by_share ON share_link FOR SELECT
       USING ((SELECT structforge_purpose()) = 'sign_in' AND hash = (SELECT structforge_sign_in()))""",
]

AUDIT = [
    """
    CREATE TABLE audit_entry (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'key', 'share', 'nobody')),
        user_id uuid,
        key_id uuid,
        actor_name text NOT NULL DEFAULT '',
        action text NOT NULL,
        target_kind text NOT NULL DEFAULT '',
        target_id text NOT NULL DEFAULT '',
        outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
        reason text NOT NULL DEFAULT '',
        request_id text NOT NULL DEFAULT '',
        address text NOT NULL DEFAULT '',
        facts jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX audit_entry_target_idx ON audit_entry (tenant_id, target_kind, target_id, id)",
    "CREATE INDEX audit_entry_user_idx ON audit_entry (tenant_id, user_id, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX audit_entry_outcome_idx ON audit_entry (outcome, at)",
]

# Row-level security binds the owner as well, so its function names its purpose; the application cannot, for these
# policies are the owner's alone and the application has no right to delete.
FORGETTING = [
    """CREATE POLICY audit_retention_seen ON audit_entry FOR SELECT TO CURRENT_USER
       USING ((SELECT structforge_purpose()) = 'audit_retention')""",
    f"""CREATE POLICY audit_retention ON audit_entry FOR DELETE TO CURRENT_USER
       USING ((SELECT structforge_purpose()) = 'audit_retention' AND at < now() - {SHORTEST_AUDIT})""",
    f"""
    CREATE FUNCTION forget_audit_entries(keep_done interval, keep_refused interval, at_most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        purpose_set text := set_config('structforge.purpose', 'audit_retention', true);
        removed integer;
    BEGIN
        DELETE FROM audit_entry WHERE (tenant_id, id) IN (
            SELECT a.tenant_id, a.id FROM audit_entry a
             WHERE a.at < now() - greatest({SHORTEST_AUDIT},
                       CASE a.outcome WHEN 'done' THEN keep_done ELSE keep_refused END) LIMIT at_most);
        GET DIAGNOSTICS removed = ROW_COUNT;
        PERFORM set_config('structforge.purpose', '', true);
        RETURN removed;
    END $$
    """,
]

PRIVILEGES = {
    "workflow_grant": "SELECT, INSERT, UPDATE, DELETE",
    "share_link": "SELECT, INSERT, UPDATE, DELETE",
    "audit_entry": "SELECT, INSERT",
}
FUNCTIONS = [
    "role_on_workflow(uuid, uuid, uuid)",
    "role_on_execution(uuid, uuid, uuid)",
    "forget_audit_entries(interval, interval, integer)",
]


def upgrade() -> None:
    # Functions look at tables when they run, so the order here is that of reading.
    for statement in [*GRANTS, *ROLES, *SHARES, *AUDIT]:
        op.get_bind().exec_driver_sql(statement)
    for table, privileges in PRIVILEGES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_rows ON {table} USING (tenant_id = ANY ((SELECT structforge_tenants())::uuid[]))"
        )
        op.execute(f"GRANT {privileges} ON {table} TO structforge_app")
    for statement in FORGETTING:
        op.get_bind().exec_driver_sql(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO structforge_app")
