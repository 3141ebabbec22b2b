"""What is mutated, and which tests must notice: for each group the quick ones first, then those on real servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Stage:
    """Tests that are run together; `on_servers` with PostgreSQL, Valkey and Temporal that all mutants share."""

    tests: tuple[str, ...]
    on_servers: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Sources by their paths below the root, and the stages that a mutant must survive to count as survivor."""

    name: str
    paths: tuple[str, ...]
    stages: tuple[Stage, ...]

    def sources(self) -> list[Path]:
        return [path for pattern in self.paths for path in sorted(ROOT.glob(pattern)) if path.stat().st_size > 200]


GROUPS = (
    Group(
        "permissions",
        ("models/roles.py", "api/permissions.py", "api/route_access.py", "api/workflow_access.py"),
        (
            Stage(("tests/api/test_route_access.py",)),
            Stage(
                ("tests/api/test_permissions.py", "tests/api/grants", "tests/api/test_permission_matrix.py"),
                on_servers=True,
            ),
        ),
    ),
    Group(
        "crypto",
        (
            "models/sealing.py",
            "models/keyring.py",
            "engine/nodes/outbound/signing.py",
            "engine/activities/clients/codec.py",
        ),
        (
            Stage(
                (
                    "tests/models/test_sealing.py",
                    "tests/models/test_sealed_form.py",
                    "tests/models/test_keyring.py",
                    "tests/engine/nodes/outbound/test_signing.py",
                    "tests/engine/activities/clients/test_codec_form.py",
                    "tests/engine/activities/clients/test_codec.py",
                )
            ),
        ),
    ),
    Group(
        "dag",
        ("engine/dag/state.py", "engine/dag/frame.py", "engine/dag/machine/*.py"),
        (Stage(("tests/engine/dag/test_state.py", "tests/engine/dag/test_frame_wire.py", "tests/engine/dag/control")),
         Stage(("tests/engine/dag/test_against_reference.py", "tests/engine/dag/test_packing.py"))),
    ),
)  # fmt: skip
