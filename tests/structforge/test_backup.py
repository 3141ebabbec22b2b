"""Backups of real databases and stores, taken while executions run, and restored elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from engine.activities.clients.objects import ObjectStore, Values
from engine.errors import ConfigurationError
from engine.settings import Settings, load_settings
from models.keyring import ensure_key_file, read_keys
from models.migrations import upgrade
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.repositories.tenants import Tenants
from models.repositories.workflows import Workflows
from models.session import Database
from models.tenancy import TenantId
from structforge.backup import backup
from structforge.backup_files import Manifest, read_manifest, verify
from structforge.cli.main import run
from structforge.devstack import folder
from structforge.restoring import placed_keys, restore
from tests.engine.workflows.lab import FREE_PORTS, Ended, Lab, open_folder
from tests.models.fixtures import database as database
from tests.models.fixtures import make_execution
from tests.models.fixtures import postgres as postgres
from tests.models.fixtures import tenant as tenant
from tests.models.server import PostgresServer

BIG = "x" * 100_000  # as an output it goes to the object store


def settings_in(place: Path, owner_url: str) -> Settings:
    return load_settings(data_dir=place, database={"owner_url": SecretStr(owner_url), "url": SecretStr(owner_url)})


async def fresh(postgres: PostgresServer) -> str:
    """URL of the owner of a new database with the schema."""
    superuser = await asyncpg.connect(postgres.url("postgres", "postgres"))
    try:
        if not await superuser.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'pristine')"):
            await postgres.create_database("pristine")
            await upgrade(postgres.url("structforge_owner", "pristine"))
        name = f"restored_{uuid4().hex[:8]}"
        await superuser.execute(f"CREATE DATABASE {name} OWNER structforge_owner TEMPLATE pristine")
    finally:
        await superuser.close()
    return postgres.url("structforge_owner", name)


@pytest.fixture
def source(postgres: PostgresServer, tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path / "source", postgres.url("structforge_owner", "structforge"))
    ensure_key_file(settings.encryption_key_file)
    return settings


def owner_of(settings: Settings) -> str:
    assert settings.database.owner_url
    return settings.database.owner_url.get_secret_value()


async def save(source: Settings, place: Path, **options: Any) -> Manifest:
    return await backup(source, owner_of(source), place, **options)


async def all_rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text in order, by somebody whom no wall binds."""
    connection = await asyncpg.connect(url.replace("structforge_owner:owner-password", "postgres:super-password"))
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition"
    )
    rows = {
        name: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t ORDER BY 1")]
        for (name,) in tables
    }
    await connection.close()
    return rows


# ---- a whole installation


async def owner_in_new_database(settings: Settings) -> str:
    secrets = folder.load_secrets(Path(settings.data_dir))
    url = owner_of(settings)
    name = f"restored_{uuid4().hex[:8]}"
    address = url.rpartition("@")[2].partition("/")[0]
    superuser = await asyncpg.connect(f"postgresql://postgres:{secrets.postgres_superuser}@{address}/postgres")
    await superuser.execute(f"CREATE DATABASE {name} OWNER structforge_owner")
    await superuser.close()
    restored = url.rpartition("/")[0] + "/" + name
    await upgrade(restored)
    return restored


def app_url(settings: Settings, owner_url: str) -> str:
    assert settings.database.url
    return settings.database.url.get_secret_value().rpartition("/")[0] + "/" + owner_url.rpartition("/")[2]


async def seen_in(database: Database, values: Values, tenant: TenantId, execution_id: UUID) -> dict[str, Any]:
    row = await Executions(database).get(tenant, execution_id)
    nodes = await NodeExecutions(database).list(tenant, execution_id, limit=1000)
    return {
        "execution": row.model_dump(),
        "output": await values.load(tenant, row.output) if row.output else None,
        "nodes": [(one.key, one.status, one.output and await values.load(tenant, one.output)) for one in nodes],
    }


@pytest.mark.asyncio(loop_scope="session")
async def test_backup_while_executions_run_restores_what_had_ended_as_it_was(lab: Lab, tmp_path: Path) -> None:
    settings, runtime = lab.stack.settings, lab.stack.runtime
    big = {"id": "big", "type": "transform", "params": {"mapping": {"text": BIG}}}
    ended: list[Ended] = [await (await lab.start({"nodes": [big]})).end() for _ in range(3)]
    running = await lab.start({"nodes": [lab.hold("waits")]})
    await lab.seen("waits")
    place = tmp_path / "backup"
    manifest = await backup(settings, owner_of(settings), place)
    lab.release("waits")
    await running.end()

    await verify(place, read_manifest(place))
    owner_url = await owner_in_new_database(settings)
    target = settings.override({"data_dir": tmp_path / "elsewhere", "objects": {"url": ""}})
    assert target.objects_url != settings.objects_url
    await restore(target, owner_url, place, manifest)

    restored = await Database.open(app_url(settings, owner_url), pool_size=2)
    try:
        values = Values(ObjectStore.of(target))
        for one in ended:
            expected = await seen_in(runtime.database, runtime.values, lab.tenant, one.row.id)
            assert await seen_in(restored, values, lab.tenant, one.row.id) == expected
            assert BIG in str(expected["output"]) + str(expected["nodes"])
        assert (await Executions(restored).get(lab.tenant, running.id)).finished_at is None
    finally:
        await restored.close()


# ---- rows


async def test_every_row_of_every_table_comes_back_and_walls_and_triggers_stand_again(
    postgres: PostgresServer, database: Database, tenant: TenantId, source: Settings, tmp_path: Path
) -> None:
    await Tenants(database).ensure(tenant, str(tenant))
    saved = await Workflows(database).create(tenant, {"name": f"w-{uuid4().hex}", "nodes": [], "edges": []})
    execution_id = await make_execution(database, tenant)
    before = await all_rows(owner_of(source))
    manifest = await save(source, tmp_path / "b")
    owner_url = await fresh(postgres)
    await restore(settings_in(tmp_path / "t", owner_url), owner_url, tmp_path / "b", manifest)

    after = await all_rows(owner_url)
    assert after.pop("leadership") == []
    before.pop("leadership")
    assert after == before
    assert sum(map(len, after.values())) > 4
    owner = await asyncpg.connect(owner_url)
    assert await owner.fetchval("SELECT count(*) FROM execution") == 0, "forced security binds the owner again"
    assert await owner.fetchval("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'") == 0
    for name, last in manifest.sequences.items():
        assert await owner.fetchval(f"SELECT CASE WHEN is_called THEN last_value END FROM {name}") == last
    await owner.close()
    restored = await Database.open(owner_url.replace("owner", "app"), pool_size=2)
    assert (await Executions(restored).get(tenant, execution_id)).status == "pending"
    assert (await Workflows(restored).get(tenant, saved.workflow.id)).name == saved.workflow.name
    await make_execution(restored, tenant)
    await restored.close()


async def test_rows_are_those_of_one_moment_while_others_write(
    postgres: PostgresServer, database: Database, tenant: TenantId, source: Settings, tmp_path: Path
) -> None:
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            # One transaction writes a row in each of two tables, which are read one after the other.
            await Workflows(database).create(tenant, {"name": f"w-{uuid4().hex}", "nodes": [], "edges": []})
            written += 1

    writers = [asyncio.create_task(write()) for _ in range(3)]
    try:
        manifest = await save(source, tmp_path / "b")
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
    rows = {table.name: table.rows for table in manifest.tables}
    # Other tests of this database make workflows of one version each, too.
    assert rows["workflow"] == rows["workflow_version"] > 0
    assert written > 0
    owner_url = await fresh(postgres)
    await restore(settings_in(tmp_path / "t", owner_url), owner_url, tmp_path / "b", manifest)


async def test_old_executions_come_back_into_the_month_they_were_in(
    postgres: PostgresServer, source: Settings, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(owner_of(source))
    await owner.execute("SELECT add_month(t, t || '_shared', '2021-03-01 00:00+00') FROM unnest($1::text[]) t",
                        ["execution", "node_execution", "execution_log"])  # fmt: skip
    await owner.close()
    manifest = await save(source, tmp_path / "b")
    assert "2021-03" in manifest.months
    owner_url = await fresh(postgres)
    await restore(settings_in(tmp_path / "t", owner_url), owner_url, tmp_path / "b", manifest)
    owner = await asyncpg.connect(owner_url)
    assert await owner.fetchval("SELECT to_regclass('execution_log_shared__2021_03')::text")
    await owner.close()


async def test_every_walled_table_lets_a_backup_read_it(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    closed = await connection.fetch(
        "SELECT relname FROM pg_class c WHERE relforcerowsecurity AND NOT relispartition AND NOT EXISTS"
        " (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'backup_rows' AND p.polcmd = 'r')"
    )
    await connection.close()
    assert closed == [], "a migration that makes a table gives it the policy backup_rows, as revision 0023 does"


async def test_purpose_backup_opens_nothing_to_the_application(database: Database, tenant: TenantId) -> None:
    await make_execution(database, tenant)
    async with database.transaction() as transaction:
        await transaction.execute("SET LOCAL structforge.purpose = 'backup'")
        assert await transaction.fetchval("SELECT count(*) FROM execution") == 0


# ---- refusals, each of which leaves nothing behind


async def test_application_role_cannot_make_a_backup_without_rows(
    postgres: PostgresServer, source: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="may not read every row"):
        await backup(source, postgres.url("structforge_app", "structforge"), tmp_path / "b")
    assert os.listdir(tmp_path) == ["source"], "no draft is left"


async def test_backup_is_closed_to_others_and_never_written_over(source: Settings, tmp_path: Path) -> None:
    await save(source, tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
    with pytest.raises(ConfigurationError, match="is there already"):
        await save(source, tmp_path / "b")


async def test_target_with_rows_or_of_another_revision_is_refused(
    postgres: PostgresServer, database: Database, tenant: TenantId, source: Settings, tmp_path: Path
) -> None:
    await make_execution(database, tenant)
    manifest = await save(source, tmp_path / "b")
    with pytest.raises(ConfigurationError, match="not empty"):
        await restore(source, owner_of(source), tmp_path / "b", manifest)
    owner_url = await fresh(postgres)
    older = manifest.model_copy(update={"revision": "0001"})
    with pytest.raises(ConfigurationError, match="schema revision 0001"):
        await restore(settings_in(tmp_path / "t", owner_url), owner_url, tmp_path / "b", older)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["tables/execution.gz", "objects", "objects.txt", "manifest.json", "keys.json"])
@pytest.mark.parametrize("gone", [False, True])
async def test_damaged_backup_is_refused(
    tenant: TenantId, source: Settings, tmp_path: Path, part: str, gone: bool
) -> None:
    await ObjectStore.of(source).put(tenant, b'"large"')
    place = tmp_path / "b"
    await save(source, place, with_keys=True)
    await verify(place, read_manifest(place))
    path = next(one for one in (place / part).rglob("*") if one.is_file()) if part == "objects" else place / part
    if gone:
        path.unlink()
    else:
        _flip(path)
    with pytest.raises(ConfigurationError, match=r"damaged|no backup"):
        await verify(place, read_manifest(place))


async def test_changed_manifest_is_refused(source: Settings, tmp_path: Path) -> None:
    await save(source, tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sequences": {"node_execution_seq": 1}}))
    with pytest.raises(ConfigurationError, match="damaged"):
        read_manifest(tmp_path / "b")


async def test_rows_that_fail_half_way_leave_the_database_as_it_was(
    postgres: PostgresServer, database: Database, tenant: TenantId, source: Settings, tmp_path: Path
) -> None:
    await Workflows(database).create(tenant, {"name": f"w-{uuid4().hex}", "nodes": [], "edges": []})
    manifest = await save(source, tmp_path / "b")
    twice = tmp_path / "b" / "tables" / "workflow_version.gz"
    twice.write_bytes(gzip.compress(gzip.decompress(twice.read_bytes()) * 2))
    owner_url = await fresh(postgres)
    before = await all_rows(owner_url)
    with pytest.raises(ConfigurationError, match="do not fit"):
        await restore(settings_in(tmp_path / "t", owner_url), owner_url, tmp_path / "b", manifest)
    assert await all_rows(owner_url) == before
    owner = await asyncpg.connect(owner_url)
    assert await owner.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'execution'")
    await owner.close()


# ---- keys


async def test_keys_are_in_the_backup_on_request_alone(source: Settings, tmp_path: Path) -> None:
    without = await save(source, tmp_path / "without")
    assert not (tmp_path / "without" / "keys.json").exists()
    manifest = await save(source, tmp_path / "with", with_keys=True)
    assert without.keys == manifest.keys != {}
    target = load_settings(data_dir=tmp_path / "t")
    with placed_keys(target, tmp_path / "with", manifest, without_keys=False):
        assert read_keys(target.encryption_key_file).keys == read_keys(source.encryption_key_file).keys
    with placed_keys(target, tmp_path / "without", without, without_keys=False):
        assert target.encryption_key_file.stat().st_mode & 0o777 == 0o600


async def test_restore_without_the_keys_or_with_others_of_the_same_name_is_refused(
    source: Settings, tmp_path: Path
) -> None:
    manifest = await save(source, tmp_path / "b")
    bare, other = load_settings(data_dir=tmp_path / "bare"), load_settings(data_dir=tmp_path / "other")
    ensure_key_file(other.encryption_key_file)
    for target in (bare, other):
        with (
            pytest.raises(ConfigurationError, match="keys of the backup are missing: first"),
            placed_keys(target, tmp_path / "b", manifest, without_keys=False),
        ):
            pass
    with placed_keys(bare, tmp_path / "b", manifest, without_keys=True):
        assert not bare.encryption_key_file.exists()


async def test_keys_that_were_placed_go_again_when_the_restore_fails(source: Settings, tmp_path: Path) -> None:
    manifest = await save(source, tmp_path / "b", with_keys=True)
    target = load_settings(data_dir=tmp_path / "t")
    with (
        pytest.raises(ConfigurationError, match="not empty"),
        placed_keys(target, tmp_path / "b", manifest, without_keys=False),
    ):
        raise ConfigurationError("the database is not empty")
    assert not target.encryption_key_file.exists()


# ---- the commands


def test_commands_save_and_restore_and_refuse_with_exit_code_2(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def use(place: str, url: str) -> None:
        monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(tmp_path / place))
        monkeypatch.setenv("STRUCTFORGE_DATABASE__OWNER_URL", url)

    use("one", postgres.url("structforge_owner", "structforge"))
    ensure_key_file(tmp_path / "one" / "encryption-keys.json")
    place = str(tmp_path / "b")
    assert run(["db", "backup", place, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["keys"] == ["first"]
    assert "restoring needs first" in told.err
    assert run(["db", "backup", place]) == 2
    use("two", asyncio.run(fresh(postgres)))
    assert run(["db", "restore", place]) == 2
    assert "keys of the backup are missing" in capsys.readouterr().err
    assert run(["db", "restore", place, "--without-keys"]) == 0
    (tmp_path / "b" / "objects.txt").write_text("x")
    assert run(["db", "restore", place, "--without-keys"]) == 2


@pytest.mark.slow
def test_embedded_installation_moves_to_another_folder_with_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in FREE_PORTS:
        monkeypatch.setenv(f"STRUCTFORGE_EMBEDDED__{name.upper()}", "0")
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    with open_folder() as old, open_folder() as new:
        monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(old))
        assert run(["db", "backup", first, "--with-keys"]) == 0
        monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(new))
        assert run(["db", "restore", first]) == 0
        assert read_keys(new / "encryption-keys.json").keys == read_keys(old / "encryption-keys.json").keys
        capsys.readouterr()
        assert run(["db", "backup", second, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["keys"] == ["first"]
    assert read_manifest(tmp_path / "second").keys == read_manifest(tmp_path / "first").keys
