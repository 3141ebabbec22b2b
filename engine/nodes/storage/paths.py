"""File paths as workflows name them, checked as text; `storage.local` then walks them without following links."""

from __future__ import annotations

import re

from engine.errors import INVALID_CONFIG, NodeError

TEMPORARY_PREFIX = ".structforge-"
LONGEST_PATH_BYTES = 1024
LONGEST_NAME_BYTES = 200
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# What SQLite keeps beside a database: it believes what it finds there, the names of files to delete included.
_BESIDE_DATABASE = re.compile(r".*\.(db|sqlite|sqlite3)-(journal|wal|shm)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def split_path(text: str, *, folder: bool = False) -> tuple[str, ...]:
    """The names on the way to a file; a folder may be the root itself, written `.` or left empty.

    Raises: NodeError INVALID_CONFIG for a path that is absolute, climbs (`..`), or holds what no file name should.
    """
    if folder and text in ("", ".", "./"):
        return ()
    if not text or len(text.encode("utf-8", "surrogatepass")) > LONGEST_PATH_BYTES:
        raise _refused(text, f"it must have 1 to {LONGEST_PATH_BYTES} bytes")
    if text.startswith(("/", "~")) or _DRIVE.match(text):
        raise _refused(text, "it must be relative to the tenant's folder")
    if "\\" in text:
        raise _refused(text, "the parts are separated by /")
    if any(not character.isprintable() for character in text):
        raise _refused(text, "it holds a control character")
    parts = text.removesuffix("/").split("/") if folder else text.split("/")
    parts = parts[1:] if parts[0] == "." and len(parts) > 1 else parts
    for part in parts:
        _check_part(text, part)
    return tuple(parts)


def check_tenant(tenant: str) -> str:
    """Raises: NodeError INVALID_CONFIG if the tenant's id cannot be a folder's name."""
    if _TENANT.fullmatch(tenant) is None:
        raise NodeError("this tenant has no files", code=INVALID_CONFIG)
    return tenant


def _check_part(text: str, part: str) -> None:
    if part in ("", ".", ".."):
        raise _refused(text, "no part of it may be empty, . or ..")
    if part.startswith(TEMPORARY_PREFIX):
        raise _refused(text, f"names that begin with {TEMPORARY_PREFIX} are reserved")
    if _BESIDE_DATABASE.fullmatch(part):
        raise _refused(text, "the journal of a database belongs to the database")
    if part != part.strip() or part.endswith("."):
        raise _refused(text, "no part of it may begin or end with a space, or end with a dot")
    if len(part.encode()) > LONGEST_NAME_BYTES:
        raise _refused(text, f"a part is longer than {LONGEST_NAME_BYTES} bytes")


def _refused(text: str, reason: str) -> NodeError:
    shown = text[:80].encode("ascii", "backslashreplace").decode()
    return NodeError(f"the path {shown!r} is refused: {reason}", code=INVALID_CONFIG, details={"path": shown})
