"""Pictures of Temporal's Web UI with executions of ours in it, for docs/web-ui.md.

python docs/take_screenshots.py            starts a stack of its own, runs the workflows below, writes docs/images/*.png

It needs Playwright and a Chromium (`/usr/bin/chromium`, or CHROMIUM=PATH). `texts` of `Pages` is what a test asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from playwright.async_api import Browser, Page, async_playwright

from engine.settings import load_settings
from structforge.client import AsyncClient
from structforge.devstack.application import running_stack

IMAGES = Path(__file__).parent / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MAX_BYTES = 200_000
PATIENCE_MS = 60_000

ORDERS = """
name: order-sync
nodes:
  - {id: start, type: manual}
  - {id: orders, type: map, name: Read orders,
     params: {items: "{{ input.orders }}", mapping_expression: {total: item * 90}}}
  - {id: large, type: filter, name: Keep large ones,
     params: {items: "{{ nodes.orders.output.items }}", condition: item.total >= 100}}
  - {id: book, type: script, name: Book each order,
     params: {script_code: len(input), input: "{{ nodes.large.output.items }}"}}
  - {id: hold, type: delay, name: Wait for the bank, params: {delay: "{{ input.hold }}"}}
  - {id: sign, type: approval, name: Ask finance, params: {message: "Pay these orders?"}}
  - {id: pay, type: script, name: Pay, params: {script_code: "'paid'"}}
edges:
  - {source: start, target: orders}
  - {source: orders, target: large}
  - {source: large, target: book}
  - {source: book, target: hold}
  - {source: hold, target: sign}
  - {source: sign, source_port: approved, target: pay}
"""
REPORT = """
name: nightly-report
nodes:
  - {id: start, type: manual}
  - {id: sums, type: aggregate, name: Add up,
     params: {items: [{v: 1}, {v: 2}], aggregations: {sum: {function: sum, field: v}}}}
edges: [{source: start, target: sums}]
"""
FAILING = """
name: stock-check
nodes:
  - {id: start, type: manual}
  - {id: count, type: script, name: Count the stock, params: {script_code: 1 / 0}}
edges: [{source: start, target: count}]
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the Web UI is, and an execution there that waits for people."""

    ui_url: str
    namespace: str
    workflow_id: str

    def list_of(self, query: str = "") -> str:
        return f"{self.ui_url}/namespaces/{self.namespace}/workflows" + (f"?query={quote(query)}" if query else "")

    @property
    def execution(self) -> str:
        return f"{self.ui_url}/namespaces/{self.namespace}/workflows/{quote(self.workflow_id, safe='')}"


@contextlib.asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """A headless Chromium that talks to this machine alone."""
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            await opened.close()


@contextlib.asynccontextmanager
async def page_of(opened: Browser) -> AsyncGenerator[Page]:
    page = await opened.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.set_default_timeout(PATIENCE_MS)
    try:
        yield page
    finally:
        await page.close()


async def text_of(page: Page, url: str, *wanted: str) -> str:
    """Go there, wait until all of `wanted` is to be read, and return what the page says."""
    await page.goto(url)
    for text in wanted:
        await page.get_by_text(text, exact=False).first.wait_for(state="visible")
    return await page.inner_text("body")


async def details_of(page: Page, shown: Shown) -> str:
    """Go to the execution's summary and current details, and return what they say."""
    await page.goto(shown.execution)
    await page.get_by_role("link", name="User Metadata").or_(page.get_by_text("User Metadata")).first.click()
    await page.get_by_text("Ask finance").first.wait_for(state="visible")
    return await page.inner_text("body")


async def rows_of(shown: Shown, query: str) -> list[str]:
    """What the list says of each Temporal workflow that the query finds."""
    async with browser() as opened, page_of(opened) as page:
        await page.goto(shown.list_of(query))
        rows = page.get_by_role("row").filter(has_text=":")
        nothing = page.get_by_text("No Workflows Found", exact=False)
        await rows.first.or_(nothing.first).first.wait_for(state="visible")
        return [text for text in await rows.all_inner_texts() if "order" in text or shown.workflow_id[:36] in text]


@contextlib.asynccontextmanager
async def shown_executions() -> AsyncGenerator[Shown]:
    """A stack with executions of three workflows, one of which waits for an approval."""
    with tempfile.TemporaryDirectory(prefix="structforge-screenshots-") as folder:
        free = dict.fromkeys(
            ("temporal_port", "temporal_ui_port", "temporal_http_port", "temporal_metrics_port", "postgres_port"), 0
        )
        settings = load_settings(
            data_dir=Path(folder) / "data",
            api={"port": 0},
            embedded={**free, "redis_port": 0, "start_timeout_s": 180},
            codec={"encrypt": False},
        )
        async with running_stack(settings) as stack:
            assert stack.api_url
            assert stack.api_key
            assert stack.temporal_ui_url
            async with AsyncClient(stack.api_url, stack.api_key) as client:
                waiting = await run_examples(client)
            yield Shown(stack.temporal_ui_url, settings.temporal.namespace, waiting)


async def run_examples(client: AsyncClient) -> str:
    """Start everything, and wait until the last one asks for its approval; the id of its Temporal workflow."""
    for document, times in ((REPORT, 3), (FAILING, 1)):
        workflow = await client.apply_workflow(document)
        for _ in range(times):
            await client.execute(workflow.id, {}, wait_s=30)
    orders = await client.apply_workflow(ORDERS)
    execution = await client.execute(orders.id, {"orders": [1, 2, 3], "hold": "1s"})
    while "waiting" not in await _statuses(client, execution.id):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    tenant = (await client.get_me()).tenant_id
    return f"{tenant}:{execution.id}"


async def _statuses(client: AsyncClient, execution_id: Any) -> set[str]:
    page = await client.list_nodes(execution_id)
    return {node.status for node in page.items if node.path == "sign"}


async def take() -> None:
    """Write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    async with shown_executions() as shown, browser() as opened, page_of(opened) as page:
        await text_of(page, shown.list_of("`StructForgeWorkflow`='nightly-report'"), "Completed")
        await _picture(page, "web-ui-list")
        await text_of(page, shown.list_of("`StructForgeStatus`='failed'"), "Failed")
        await _picture(page, "web-ui-search")
        await details_of(page, shown)
        await _picture(page, "web-ui-execution")


async def _picture(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    await page.wait_for_timeout(2000)  # the page goes on asking, so that it is never idle
    await page.screenshot(path=path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path} has {size} bytes, {MAX_BYTES} at most")


if __name__ == "__main__":
    for document in (ORDERS, REPORT, FAILING):
        yaml.safe_load(document)
    asyncio.run(take())
