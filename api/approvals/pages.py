"""Where links in notifications lead: a page for browsers that says how to go on, the same for everybody.

It needs no login and shows nothing but the id that the caller has brought. What there is to see, and to decide, is
behind the API, which asks who is there.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.permissions import Permission, requires

router = APIRouter(tags=["approvals"], include_in_schema=False)

# Nothing of the page is loaded, run or framed.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:44em;margin:3em auto;padding:0 1em}}pre{{background:#eee;padding:1em}}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""


@router.get("/approvals/{asked}", response_class=HTMLResponse)
@requires(Permission.PUBLIC)
async def show_approval(asked: UUID) -> HTMLResponse:
    """How to decide an approval. Whether there is one, and what it is about, the API tells who has signed in."""
    body = f"""
<p>Somebody waits for your decision. Read it, then approve or reject it, signed in as yourself:</p>
<pre>structforge approval show {asked}
structforge approval approve {asked} --comment "as agreed"
structforge approval reject {asked} --comment "not yet"</pre>
<p>Programs send <code>GET</code> and <code>POST</code> to <code>/api/v1/approvals/{asked}</code> with an access token
or an API key of yours.</p>"""
    return _page("A decision is asked for", body)


@router.get("/executions/{shown}", response_class=HTMLResponse)
@requires(Permission.PUBLIC)
async def show_execution(shown: UUID) -> HTMLResponse:
    """How to look at an execution."""
    body = f"""
<p>Look at it, signed in as yourself:</p>
<pre>structforge execution get {shown}
structforge execution logs {shown}</pre>
<p>Programs send <code>GET</code> to <code>/api/v1/executions/{shown}</code> with an access token or an API key.</p>"""
    return _page("An execution", body)


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, body=body), headers=_HEADERS)
