"""What the doctor finds on a machine without a running StructForge, and beside embedded servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from structforge.devstack.application import running_servers
from structforge.doctor import Check, diagnose
from tests.structforge.devstack.conftest import open_folder, settings_for


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


async def test_nothing_running_is_healthy_and_changes_nothing(tmp_path: Path) -> None:
    checks = await diagnose(settings_for(tmp_path / "data"))
    assert [check for check in checks if not check.ok] == []
    assert not (tmp_path / "data").exists()
    assert {"python", "postgres program", "valkey program", "temporal program", "data folder", "disk"} <= set(
        by_name(checks)
    )


async def test_unreachable_servers_are_found_with_the_variable_to_check(tmp_path: Path) -> None:
    settings = settings_for(tmp_path).override(
        {
            "database": {"url": "postgresql://app:hunter2@127.0.0.1:1/x"},
            "redis": {"url": "redis://:hunter2@127.0.0.1:1/0"},
            "temporal": {"address": "127.0.0.1:1"},
        }
    )
    checks = by_name(await diagnose(settings))
    assert {name for name, check in checks.items() if not check.ok} == {"database", "migrations", "redis", "temporal"}
    assert "STRUCTFORGE_DATABASE__URL" in checks["database"].hint
    assert "hunter2" not in str(checks)


async def test_port_taken_by_another_program_is_found(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken:
        checks = by_name(await diagnose(settings_for(tmp_path).override({"api": {"port": port}})))
    assert not checks[f"port {port}"].ok
    assert "STRUCTFORGE_API__PORT" in checks[f"port {port}"].hint


async def test_embedded_servers_pass_every_check() -> None:
    with open_folder() as data_dir:
        async with running_servers(settings_for(data_dir)) as endpoints:
            checks = await diagnose(endpoints.settings)
            owner = endpoints.settings.override({"database": {"url": endpoints.owner_url}})
    assert [check for check in checks if not check.ok] == []
    assert {"database", "migrations", "redis", "temporal"} <= set(by_name(checks))
    after = by_name(await diagnose(owner))
    assert not after["database"].ok
