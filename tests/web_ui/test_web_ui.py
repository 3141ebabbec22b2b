"""What Temporal's Web UI shows of executions, read by a real browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

pytest.importorskip("playwright", reason="playwright is not installed")
SCRIPT = Path(__file__).parents[2] / "docs" / "take_screenshots.py"
IMAGES = SCRIPT.parent / "images"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("take_screenshots", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pictures = _script()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not Path(pictures.CHROMIUM).exists(), reason="no Chromium (Debian package chromium)"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown() -> AsyncIterator[object]:
    async with pictures.shown_executions() as executions:
        yield executions


@pytest.mark.parametrize(
    ("attribute", "value", "there", "absent"),
    [
        ("StructForgeWorkflow", "nightly-report", "Completed", "Failed"),
        ("StructForgeStatus", "failed", "Failed", "Running"),
        ("StructForgeTrigger", "manual", "Running", None),
    ],
)
async def test_list_is_searched_by_our_attributes(
    shown: object, attribute: str, value: str, there: str, absent: str | None
) -> None:
    query = f"`{attribute}`='{value}'"
    rows = await pictures.rows_of(shown, query)
    assert any(there in row for row in rows)
    assert absent is None or not any(absent in row for row in rows)


async def test_list_is_searched_by_tenant(shown: object) -> None:
    tenant = shown.workflow_id.partition(":")[0]  # type: ignore[attr-defined]
    assert len(await pictures.rows_of(shown, f"`StructForgeTenant`='{tenant}'")) == 5
    assert await pictures.rows_of(shown, "`StructForgeTenant`='nobody'") == []


async def test_execution_shows_its_names_and_a_table_of_its_progress(shown: object) -> None:
    async with pictures.browser() as opened, pictures.page_of(opened) as page:
        text = await pictures.details_of(page, shown)
    assert "order-sync" in text
    for name in ("Read orders", "Keep large ones", "Book each order", "Wait for the bank", "Ask finance", "Pay"):
        assert name in text
    assert "waiting" in text
    assert "success" in text


def test_pictures_are_there_and_small() -> None:
    found = {path.stem: path.stat().st_size for path in IMAGES.glob("web-ui-*.png")}
    assert set(found) == {"web-ui-list", "web-ui-search", "web-ui-execution"}
    assert all(10_000 < size < pictures.MAX_BYTES for size in found.values())
